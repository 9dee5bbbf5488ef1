// LiteRT.js on the CPU (WebAssembly with XNNPACK). Its tensors lie in WebAssembly's memory until they are deleted.

import { getGlobalLiteRt, loadLiteRt, loadAndCompile, Tensor } from '@litertjs/core'

export async function load(content, threads) {
  await loadLiteRt('/packages/@litertjs/core/wasm/', { threads: threads > 1 })
  const model = await loadAndCompile(content, { accelerator: 'wasm', cpuOptions: { numThreads: threads } })
  let tensors = []
  return {
    heap: () => getGlobalLiteRt().liteRtWasm.HEAPU8.buffer,
    bind(inputs) {
      // a signature has an order of its own, and names without what a converter added
      for (const each of tensors) each.delete()
      tensors = model.getInputDetails().map(({ name }, place) => {
        const { values, shape } = inputs.find(({ names }) => names.includes(name)) ?? inputs[place]
        return new Tensor(values, shape)
      })
    },
    async run() {
      for (const each of await model.run(tensors)) each.delete()
    },
    async outputs() {
      const found = await model.run(tensors)
      const details = model.getOutputDetails()
      const shown = []
      for (const [place, each] of found.entries()) {
        const { name, dtype } = details[place]
        shown.push({ name, dtype, shape: each.type.layout.dimensions, values: await each.data() })
        each.delete()
      }
      return shown
    },
  }
}
