// This bundle's TFLite model in LiteRT on iOS. All that it knows of it, it reads from manifest.json.
// Add the bundle's folder to the app as a folder reference, and LiteRT by CocoaPods: pod 'TensorFlowLiteSwift'
// (the least version stands in manifest.json under "minimum"). edgekd's own tests parse this file; they don't run it.
import CoreGraphics
import Foundation
import ImageIO
import TensorFlowLite

enum DType: String, Decodable {
    case float32, int8, uint8, int32, int64
}

struct TensorFacts: Decodable {
    let name: String
    let shape: [Int?]
    let dtype: DType
    let role: String
    let scale: Double?
    let zero_point: Double?
}

struct ModelFacts: Decodable {
    let file: String
    let format: String
    let sha256: String
    let inputs: [TensorFacts]
    let outputs: [TensorFacts]
}

struct Preprocessing: Decodable {
    let kind: String
    // images
    let height: Int?
    let width: Int?
    let resize: String?
    let crop: String?
    let colour: String?
    let value_range: [Float]?
    let mean: [Float]?
    let scale: [Float]?
    let layouts: [String: String]?
    let in_graph: [String]?
    // texts
    let pad_id: Int?
}

struct Postprocessing: Decodable {
    let kind: String
    let labels: String?
    let temperature: Double
    let temperatures: [String: Double]?
    let threshold: Double?
}

struct Golden: Decodable {
    let index: String
}

struct Manifest: Decodable {
    let models: [ModelFacts]
    let preprocessing: Preprocessing
    let postprocessing: Postprocessing
    let golden: Golden
}

struct EdgekdError: Error {
    let message: String
}

final class EdgekdModel {
    let root: URL
    let manifest: Manifest
    let facts: ModelFacts
    private let interpreter: Interpreter

    /// `root`: the folder with manifest.json.
    init(root: URL, threads: Int = 1) throws {
        self.root = root
        manifest = try JSONDecoder().decode(Manifest.self, from: Data(contentsOf: root.appendingPathComponent("manifest.json")))
        guard let found = manifest.models.first(where: { $0.format == "tflite" }) else {
            throw EdgekdError(message: "the bundle has no TFLite file")
        }
        facts = found
        var options = Interpreter.Options()
        options.threadCount = threads
        interpreter = try Interpreter(modelPath: root.appendingPathComponent(found.file).path, options: options)
        try interpreter.allocateTensors()
    }

    /// The most likely labels of an image file, none below the manifest's threshold.
    func classify(_ file: URL, count: Int = 3) throws -> [(label: String, share: Double)] {
        let after = manifest.postprocessing
        let temperature = after.temperatures?[facts.file] ?? after.temperature
        let logits = try firstOutput([facts.inputs[0].name: prepared(Data(contentsOf: file))]).map { $0 / temperature }
        let most = logits.max() ?? 0
        let powers = logits.map { exp($0 - most) }
        let sum = powers.reduce(0, +)
        let labels = try after.labels.map { try JSONDecoder().decode([String].self, from: data($0)) }
        let answers = powers.enumerated().map { (label: labels?[$0.offset] ?? String($0.offset), share: $0.element / sum) }
        return Array(answers.filter { $0.share >= after.threshold ?? 0 }.sorted { $0.share > $1.share }.prefix(count))
    }

    /// Token ids, special ones included, into the vector. Tokenize with the tokenizer that the manifest names.
    func embed(_ ids: [Int]) throws -> [Double] {
        guard let length = facts.inputs[0].shape.last ?? nil, ids.count <= length else {
            throw EdgekdError(message: "more token ids than the model takes")
        }
        let padding = length - ids.count
        let roles = [
            "input_ids": ids + Array(repeating: manifest.preprocessing.pad_id ?? 0, count: padding),
            "attention_mask": Array(repeating: 1, count: ids.count) + Array(repeating: 0, count: padding),
            "token_type_ids": Array(repeating: 0, count: length),
        ]
        let inputs = facts.inputs.map { ($0.name, whole(roles[$0.role] ?? [], $0.dtype)) }
        return try firstOutput(Dictionary(uniqueKeysWithValues: inputs))
    }

    /// From an image file's bytes to what the model's input holds.
    func prepared(_ file: Data) throws -> Data {
        let before = manifest.preprocessing
        guard let height = before.height, let width = before.width, let mean = before.mean, let scale = before.scale,
              let range = before.value_range
        else {
            throw EdgekdError(message: "this model takes no image")
        }
        let pixels = resized(try decoded(file, grey: before.colour == "grey-as-rgb"), height: height, width: width)
        let plain = before.in_graph?.contains(facts.file) ?? false
        let last = before.layouts?[facts.file] == "NHWC"
        var values = [Float](repeating: 0, count: 3 * height * width)
        for place in 0..<(height * width) {
            for channel in 0..<3 {
                let pixel = pixels.data[place * pixels.channels + channel % pixels.channels]
                let normal = (pixel * ((range[1] - range[0]) / 255) + range[0] - mean[channel]) / scale[channel]
                values[last ? place * 3 + channel : channel * height * width + place] = plain ? pixel : normal
            }
        }
        return stored(values, facts.inputs[0])
    }

    /// Inputs by name into outputs by name, as the model stores them.
    func run(_ inputs: [String: Data]) throws -> [String: Data] {
        for index in 0..<interpreter.inputTensorCount {
            let name = try interpreter.input(at: index).name
            guard let values = inputs[name] else { throw EdgekdError(message: "nothing is given for input \(name)") }
            try interpreter.copy(values, toInputAt: index)
        }
        try interpreter.invoke()
        var outputs: [String: Data] = [:]
        for index in 0..<interpreter.outputTensorCount {
            let tensor = try interpreter.output(at: index)
            outputs[tensor.name] = tensor.data
        }
        return outputs
    }

    /// What a tensor holds as real numbers.
    func real(_ values: Data, _ tensor: TensorFacts) -> [Double] {
        let found = numbers(values, tensor.dtype)
        guard let scale = tensor.scale, let zero = tensor.zero_point else { return found }
        return found.map { scale * ($0 - zero) }
    }

    func data(_ place: String) throws -> Data {
        try Data(contentsOf: root.appendingPathComponent(place))
    }

    private func firstOutput(_ inputs: [String: Data]) throws -> [Double] {
        let tensor = facts.outputs[0]
        guard let values = try run(inputs)[tensor.name] else { throw EdgekdError(message: "found no output \(tensor.name)") }
        return real(values, tensor)
    }
}

/// The numbers of a tensor as they are stored.
func numbers(_ values: Data, _ dtype: DType) -> [Double] {
    func all<T>(_ type: T.Type, _ number: (T) -> Double) -> [Double] {
        values.withUnsafeBytes { bytes in
            (0..<(bytes.count / MemoryLayout<T>.size)).map {
                number(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: type))
            }
        }
    }
    switch dtype {
    case .float32: return all(Float.self) { Double($0) }
    case .int8: return all(Int8.self) { Double($0) }
    case .uint8: return all(UInt8.self) { Double($0) }
    case .int32: return all(Int32.self) { Double($0) }
    case .int64: return all(Int64.self) { Double($0) }
    }
}

/// Real values as the model takes them.
private func stored(_ values: [Float], _ tensor: TensorFacts) -> Data {
    if tensor.dtype == .float32 { return values.withUnsafeBytes { Data($0) } }
    let (least, most): (Float, Float) = tensor.dtype == .int8 ? (-128, 127) : (0, 255)
    let scale = Float(tensor.scale ?? 1)
    let zero = Float(tensor.zero_point ?? 0)
    let levels = values.map { min(max(($0 / scale).rounded(.toNearestOrEven) + zero, least), most) }
    return Data(levels.map { tensor.dtype == .int8 ? UInt8(bitPattern: Int8($0)) : UInt8($0) })
}

private func whole(_ values: [Int], _ dtype: DType) -> Data {
    if dtype == .int64 { return values.map { Int64($0) }.withUnsafeBytes { Data($0) } }
    return values.map { Int32($0) }.withUnsafeBytes { Data($0) }
}

private struct Pixels {
    let height: Int
    let width: Int
    let channels: Int
    let data: [Float]
}

/// RGB in the image's own colours, or the one channel that grey training images had.
private func decoded(_ file: Data, grey: Bool) throws -> Pixels {
    guard let source = CGImageSourceCreateWithData(file as CFData, nil),
          let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
    else {
        throw EdgekdError(message: "not an image")
    }
    let (width, height) = (image.width, image.height)
    let space = image.colorSpace.flatMap { $0.model == .rgb ? $0 : nil } ?? CGColorSpaceCreateDeviceRGB()
    var bytes = [UInt8](repeating: 255, count: 4 * width * height)
    let drawn: Bool = bytes.withUnsafeMutableBytes { pixels in
        let info = CGImageAlphaInfo.noneSkipLast.rawValue
        guard let context = CGContext(data: pixels.baseAddress, width: width, height: height, bitsPerComponent: 8,
                                      bytesPerRow: 4 * width, space: space, bitmapInfo: info)
        else { return false }
        context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        return true
    }
    guard drawn else { throw EdgekdError(message: "an image of a kind that can't be drawn") }
    var data: [Float] = []
    data.reserveCapacity(width * height * (grey ? 1 : 3))
    for place in 0..<(width * height) {
        let colours = bytes[4 * place..<4 * place + 3].map { Int($0) }
        if grey {
            let light = colours[0] * 19595 + colours[1] * 38470 + colours[2] * 7471 + 32768 // as Pillow does
            data.append(Float(light >> 16))
        } else {
            data.append(contentsOf: colours.map { Float($0) })
        }
    }
    return Pixels(height: height, width: width, channels: grey ? 1 : 3, data: data)
}

extension EdgekdModel {
    /// To the size of the training images, as those were: bilinear, antialiased, perhaps the middle part alone.
    private func resized(_ from: Pixels, height: Int, width: Int) -> Pixels {
        if from.height == height && from.width == width { return from }
        let part = min(Double(from.height) / Double(height), Double(from.width) / Double(width))
        let crop = manifest.preprocessing.crop == "centre"
        let across = triangles(from.width, crop ? part * Double(width) : Double(from.width), width)
        let down = triangles(from.height, crop ? part * Double(height) : Double(from.height), height)
        let rows = weighted(from.data, from.height, across, from.channels) // (from.height, width, channels)
        let data = weighted(rows, 1, down, width * from.channels)
        return Pixels(height: height, width: width, channels: from.channels, data: data)
    }

    /// For each new pixel the shares of old ones: a bilinear filter over the `length` pixels in the middle.
    private func triangles(_ old: Int, _ length: Double, _ count: Int) -> [(first: Int, shares: [Double])] {
        let step = length / Double(count)
        let radius = manifest.preprocessing.resize == "bilinear" ? 1 : max(step, 1)
        return (0..<count).map { place in
            let centre = (Double(old) - length) / 2 + (Double(place) + 0.5) * step
            let first = max(0, Int((centre - radius).rounded(.down)))
            let end = min(old, Int((centre + radius).rounded(.up)))
            let shares = (first..<end).map { max(0, 1 - abs(Double($0) + 0.5 - centre) / radius) }
            let sum = shares.reduce(0, +)
            return (first, shares.map { $0 / sum })
        }
    }

    /// Data (groups, old, size) -> (groups, new, size), rounded as Pillow does after each axis.
    private func weighted(_ data: [Float], _ groups: Int, _ weights: [(first: Int, shares: [Double])], _ size: Int) -> [Float] {
        let old = data.count / groups / size
        var result: [Float] = []
        result.reserveCapacity(groups * weights.count * size)
        for group in 0..<groups {
            for (first, shares) in weights {
                for one in 0..<size {
                    var sum = 0.5
                    for (at, share) in shares.enumerated() {
                        sum += share * Double(data[(group * old + first + at) * size + one])
                    }
                    result.append(Float(sum.rounded(.down)))
                }
            }
        }
        return result
    }
}
