// What edgekd asks of the page: facts, memory, one model started, its outputs, and the times of single runs.

const now = () => performance.now() // ms
const READINGS = 50 // changes of the clock, of which the smallest is its step
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: globalThis.Float16Array, int8: Int8Array, uint8: Uint8Array,
  int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array,
  uint64: BigUint64Array, bool: Uint8Array,
}
let model = null

async function bytes(path) {
  const answer = await fetch(path)
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return answer.arrayBuffer()
}

function step() {
  let smallest = Infinity
  for (let found = 0, last = now(); found < READINGS;) {
    const next = now()
    if (next === last) continue
    smallest = Math.min(smallest, next - last)
    last = next
    found += 1
  }
  return smallest / 1e3
}

function text(array) {
  const raw = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  let out = ''
  for (let from = 0; from < raw.length; from += 32768) out += String.fromCharCode(...raw.subarray(from, from + 32768))
  return btoa(out)
}

function facts() {
  return { isolated: crossOriginIsolated, step_s: step(), cores: navigator.hardwareConcurrency }
}

// The browser counts WebAssembly's memory where it is shared among threads, and leaves it out otherwise (Chromium 156).
async function memory() {
  const { bytes } = await performance.measureUserAgentSpecificMemory()
  const heap = model?.heap?.()
  return { told: bytes, left_out: heap instanceof ArrayBuffer ? heap.byteLength : 0 }
}

function fetched(inputs) {
  return Promise.all(inputs.map(async ({ names, dtype, shape, path }) =>
    ({ names, dtype, shape, values: new ARRAYS[dtype](await bytes(path)) })))
}

// The runtime is loaded, then the model, then it runs once; what fails says during which of them.
async function start({ engine, threads, inputs }) {
  const asked = now()
  let during = 'load'
  try {
    const fed = await fetched(inputs)
    const { load } = await import(engine)
    const began = now()
    const loaded = await load(new Uint8Array(await bytes('/model')), threads)
    const ready = now()
    during = 'run'
    loaded.bind(fed)
    await loaded.run()
    const answered = now()
    model = loaded
    return {
      load_time_s: (ready - began) / 1e3,
      first_inference_s: (answered - ready) / 1e3,
      cold_start_s: (arrived + answered - asked) / 1e3, // since the page was called up, without waiting for a question
    }
  } catch (error) {
    return { refused: String(error?.message ?? error), during }
  }
}

// What the model gives for these inputs, which it then keeps.
async function outputs(inputs) {
  model.bind(await fetched(inputs))
  const found = await model.outputs()
  return found.map(({ name, dtype, shape, values }) => ({ name, dtype, shape: [...shape], values: text(values) }))
}

// Times of single runs in s, for at least so many seconds; their number is a multiple of `together`.
async function runs({ seconds, together }) {
  const times = []
  const until = now() + 1e3 * seconds
  let last = now()
  do {
    for (let left = together; left > 0; left -= 1) {
      await model.run()
      const next = now()
      times.push((next - last) / 1e3)
      last = next
    }
  } while (last < until)
  return times
}

const arrived = now()
globalThis.edgekd = { facts, memory, start, outputs, runs }
