// onnxruntime-web on the CPU (WebAssembly), as its own documentation has it.

import * as ort from 'onnxruntime-web'

export async function load(model, threads) {
  ort.env.wasm.wasmPaths = new URL('/packages/onnxruntime-web/dist/', location).href
  ort.env.wasm.numThreads = threads
  ort.env.logLevel = 'error'
  const session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'] })
  let feeds = {}
  return {
    bind(inputs) {
      feeds = Object.fromEntries(inputs.map(({ names, dtype, shape, values }) => [names[0], new ort.Tensor(dtype, values, shape)]))
    },
    run: () => session.run(feeds),
    async outputs() {
      const found = await session.run(feeds)
      return session.outputNames.map((name) => ({ name, dtype: found[name].type, shape: found[name].dims, values: found[name].data }))
    },
  }
}
