// Runs this bundle's ONNX model, in Node and in a browser alike. All that it knows of it, it reads from manifest.json.
//
//   const bundle = await open({ read, decode });
//   read(place): bytes of a file of the bundle;  decode(bytes): an image as { width, height, data: RGBA bytes }

import * as ort from "onnxruntime-web";
import { Tokenizer } from "@huggingface/tokenizers";

const ARRAYS = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array };
const PREPARED_WITHIN = { float32: 1e-5, int8: 1, uint8: 1 }; // rounding of another compiler; token ids are exact

export async function open({ read, decode }) {
  const json = async (place) => JSON.parse(new TextDecoder().decode(await read(place)));
  const manifest = await json("manifest.json");
  const { preprocessing, postprocessing } = manifest;
  const labels = postprocessing.labels ? await json(postprocessing.labels) : [];
  const tokenizer = preprocessing.kind === "text" ? new Tokenizer(await json(preprocessing.tokenizer), {}) : null;
  const sessions = new Map();

  async function session(model) {
    if (!sessions.has(model.file)) sessions.set(model.file, await ort.InferenceSession.create(await read(model.file)));
    return sessions.get(model.file);
  }

  // Inputs by name -> outputs by name.
  async function run(model, inputs) {
    const fed = Object.entries(inputs).map(([name, { dtype, shape, values }]) => [name, new ort.Tensor(dtype, values, shape)]);
    return (await session(model)).run(Object.fromEntries(fed));
  }

  // From an image file's bytes, or a text's in UTF-8, to the model's inputs.
  async function prepare(raw, model) {
    if (preprocessing.kind === "image") {
      const plain = preprocessing.in_graph.includes(model.file);
      return { [model.inputs[0].name]: imageTensor(await decode(raw), preprocessing, model, plain) };
    }
    if (preprocessing.kind === "text") {
      const ids = tokenIds(tokenizer, preprocessing, new TextDecoder().decode(raw));
      return textTensors(ids, preprocessing.pad_to[model.file] ?? ids.length, preprocessing.pad_id, model);
    }
    throw new Error("the inputs are of the user's own task: only their golden tensors are known");
  }

  async function tensor(stored) {
    const bytes = await read(stored.file); // copied: a typed array must begin at a multiple of its size
    return { ...stored, values: new ARRAYS[stored.dtype](bytes.slice().buffer) };
  }

  // Throws where a model is not as it must be; returns how far its outputs are apart.
  async function checkModel(model, golden) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await read(model.file)));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== model.sha256) throw new Error("this is not the file of which manifest.json speaks (SHA-256)");
    const tolerance = tolerated(golden.tolerances[model.file]);
    let apart = 0;
    for (const [number, item] of golden.items.entries()) {
      const expected = item.models[model.file];
      const inputs = {};
      for (const stored of expected.inputs) inputs[stored.name] = await tensor(stored);
      if (item.raw !== null) checkPrepared(await prepare(await read(item.raw), model), inputs, number);
      const outputs = await run(model, inputs);
      for (const stored of expected.outputs) {
        const facts = model.outputs.find((each) => each.name === stored.name);
        const wanted = real((await tensor(stored)).values, facts);
        apart = Math.max(apart, checkOutput(real(outputs[stored.name].data, facts), wanted, tolerance, number));
      }
    }
    return `${golden.items.length} golden vectors, outputs ${apart.toPrecision(2)} apart, ${tolerance.max_abs} allowed`;
  }

  return {
    manifest,

    // Runs the golden vectors; says a line for each model, and returns whether all is as it must be.
    async check(say = console.log) {
      const golden = await json(manifest.golden.index);
      let [ran, good] = [0, true];
      for (const model of manifest.models) {
        if (model.format !== "onnx") {
          say(`${model.file}: not run: onnxruntime-web takes ONNX files`);
          continue;
        }
        ran += 1;
        try {
          say(`${model.file}: ok: ${await checkModel(model, golden)}`);
        } catch (error) {
          say(`${model.file}: FAILED: ${error.message}`);
          good = false;
        }
      }
      return ran > 0 && good;
    },

    // What the model says of an image file's bytes, or of a text's: labels with probabilities, or the vector.
    async answer(raw) {
      const model = manifest.models.find((each) => each.format === "onnx");
      const [facts] = model.outputs;
      const output = real((await run(model, await prepare(raw, model)))[facts.name].data, facts);
      if (postprocessing.kind !== "softmax") return { vector: output };
      const temperature = postprocessing.temperatures?.[model.file] ?? postprocessing.temperature;
      const shares = softmax(output.map((value) => value / temperature));
      const best = shares.map((share, index) => ({ label: labels[index] ?? String(index), share }));
      return { best: best.filter(({ share }) => share >= (postprocessing.threshold ?? 0)).sort((a, b) => b.share - a.share) };
    },
  };
}

function imageTensor(decoded, facts, model, plain) {
  const { height, width, mean, scale, value_range: [low, high] } = facts;
  const pixels = resized(channels(decoded, facts.colour), facts);
  const [input] = model.inputs;
  const values = new ARRAYS[input.dtype](height * width * 3);
  const last = facts.layouts[model.file] === "NHWC";
  for (let place = 0; place < height * width; place++) {
    for (let channel = 0; channel < 3; channel++) {
      const pixel = pixels.data[place * pixels.channels + (channel % pixels.channels)];
      const normal = Math.fround(pixel * ((high - low) / 255) + low);
      const value = plain ? pixel : Math.fround(Math.fround(normal - mean[channel]) / scale[channel]);
      values[last ? place * 3 + channel : channel * height * width + place] = stored(value, input);
    }
  }
  return { dtype: input.dtype, shape: last ? [1, height, width, 3] : [1, 3, height, width], values };
}

// RGBA bytes as three channels, or as the one that grey training images had.
function channels({ width, height, data }, colour) {
  if (colour !== "grey-as-rgb") return { width, height, channels: 3, data: data.filter((_, place) => place % 4 !== 3) };
  const grey = new Float32Array(width * height).map((_, place) => {
    const [red, green, blue] = data.subarray(4 * place, 4 * place + 3);
    return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16; // as Pillow does
  });
  return { width, height, channels: 1, data: grey };
}

// Scale to the size of the training images, as those were: bilinear, antialiased, perhaps the middle part alone.
function resized(image, { height, width, crop, resize }) {
  if (image.height === height && image.width === width) return image;
  const part = crop === "centre" ? Math.min(image.height / height, image.width / width) : 0;
  const antialiased = resize !== "bilinear";
  const across = triangles(image.width, part * width || image.width, width, antialiased);
  const down = triangles(image.height, part * height || image.height, height, antialiased);
  const rows = weighted(image.data, image.height, across, image.channels); // (image.height, width, channels)
  return { height, width, channels: image.channels, data: weighted(rows, 1, down, width * image.channels) };
}

// Data (groups, old, size) -> (groups, new, size), rounded as Pillow does after each axis.
function weighted(data, groups, weights, size) {
  const old = data.length / groups / size;
  const result = new Float32Array(groups * weights.length * size);
  for (let group = 0; group < groups; group++) {
    for (const [place, { first, shares }] of weights.entries()) {
      for (let one = 0; one < size; one++) {
        const sum = shares.reduce((total, share, at) => total + share * data[(group * old + first + at) * size + one], 0);
        result[(group * weights.length + place) * size + one] = Math.floor(sum + 0.5);
      }
    }
  }
  return result;
}

// For each new pixel, the shares of old ones: a bilinear filter over the `length` pixels in the middle.
function triangles(old, length, count, antialiased) {
  const step = length / count;
  const radius = antialiased ? Math.max(step, 1) : 1;
  return Array.from({ length: count }, (_, place) => {
    const centre = (old - length) / 2 + (place + 0.5) * step;
    const first = Math.max(0, Math.floor(centre - radius));
    const end = Math.min(old, Math.ceil(centre + radius));
    const shares = Array.from({ length: end - first }, (_, at) => Math.max(0, 1 - Math.abs(first + at + 0.5 - centre) / radius));
    const sum = shares.reduce((total, share) => total + share, 0);
    return { first, shares: shares.map((share) => share / sum) };
  });
}

// Token ids, cut at the longest that the model takes, so that the special ones at both ends stay.
function tokenIds(tokenizer, { prompt, max_length }, text) {
  const ids = tokenizer.encode(prompt + text).ids;
  const plain = tokenizer.encode(prompt + text, { add_special_tokens: false }).ids;
  const special = ids.length - plain.length;
  const head = Array.from({ length: special + 1 }, (_, at) => at).find((at) => plain.every((id, i) => ids[at + i] === id));
  return [...ids.slice(0, head), ...plain.slice(0, max_length - special), ...ids.slice(head + plain.length)];
}

function textTensors(ids, length, padId, model) {
  const padding = Array(length - ids.length);
  const roles = {
    input_ids: [...ids, ...padding.fill(padId)],
    attention_mask: [...ids.map(() => 1), ...padding.fill(0)],
    token_type_ids: Array(length).fill(0),
  };
  const tensor = ({ dtype, role }) => {
    const values = ARRAYS[dtype].from(roles[role], dtype === "int64" ? BigInt : Number);
    return { dtype, shape: [1, length], values };
  };
  return Object.fromEntries(model.inputs.map((each) => [each.name, tensor(each)]));
}

// A real value as the model takes it.
function stored(value, { dtype, scale, zero_point }) {
  if (dtype === "float32") return value;
  const level = scale === null ? value : halfEven(Math.fround(value / Math.fround(scale))) + zero_point;
  return Math.min(Math.max(level, dtype === "int8" ? -128 : 0), dtype === "int8" ? 127 : 255);
}

function halfEven(value) {
  const down = Math.floor(value);
  return value - down === 0.5 ? down + (Math.abs(down) % 2) : Math.round(value);
}

// What the model gives as real values.
function real(values, { scale, zero_point }) {
  return Array.from(values, (value) => (scale === null ? Number(value) : scale * (Number(value) - zero_point)));
}

function tolerated(tolerances) {
  const found = tolerances.find((each) => each.isa === "wasm") ?? tolerances.find((each) => each.isa === "any");
  if (!found) throw new Error("golden.json has no tolerance for WebAssembly");
  return found;
}

function checkPrepared(found, wanted, number) {
  for (const [name, { dtype, shape, values }] of Object.entries(found)) {
    const want = wanted[name];
    if (dtype !== want.dtype || String(shape) !== String(want.shape))
      throw new Error(`golden vector ${number}: input ${name}: ${dtype}[${shape}], expected ${want.dtype}[${want.shape}]`);
    const [apart, within] = [farthest(values, want.values), PREPARED_WITHIN[dtype] ?? 0];
    if (!(apart <= within))
      throw new Error(`golden vector ${number}: input ${name}: prepared here it is ${apart} apart, ${within} allowed`);
  }
}

// Throws where an output lies outside the tolerance (NaN does), or returns how far it is apart.
function checkOutput(found, wanted, { max_abs, top1, cosine }, number) {
  const apart = found.length === wanted.length ? farthest(found, wanted) : Infinity;
  if (!(apart <= max_abs)) throw new Error(`golden vector ${number}: ${apart} apart, ${max_abs} allowed`);
  const [best, expected] = [largest(found), largest(wanted)];
  if (top1 && best !== expected && wanted[expected] - wanted[best] > max_abs)
    throw new Error(`golden vector ${number}: class ${best} is the largest, expected ${expected}`);
  const alike = dot(found, wanted) / Math.sqrt(dot(found, found) * dot(wanted, wanted));
  if (cosine !== null && !(alike >= cosine))
    throw new Error(`golden vector ${number}: cosine ${alike}, expected at least ${cosine}`);
  return apart;
}

const farthest = (a, b) => a.reduce((most, value, at) => {
  const apart = Math.abs(Number(value) - Number(b[at]));
  return apart <= most ? most : apart; // so NaN stays
}, 0);
const largest = (values) => values.indexOf(Math.max(...values));
const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);

function softmax(values) {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
