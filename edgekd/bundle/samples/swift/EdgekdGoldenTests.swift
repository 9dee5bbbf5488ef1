// The golden vectors as an XCTest: add the bundle to the test target as the folder reference "bundle".
// edgekd's own tests parse this file; they don't run it.
import CryptoKit
import Foundation
import XCTest

struct Stored: Decodable {
    let name: String
    let file: String
}

struct Expected: Decodable {
    let inputs: [Stored]
    let outputs: [Stored]
}

struct Item: Decodable {
    let raw: String?
    let models: [String: Expected]
}

struct Tolerance: Decodable {
    let isa: String
    let max_abs: Double
    let top1: Bool
    let cosine: Double?
}

struct GoldenIndex: Decodable {
    let items: [Item]
    let tolerances: [String: [Tolerance]]
}

final class EdgekdGoldenTests: XCTestCase {
    private func model() throws -> EdgekdModel {
        let root = try XCTUnwrap(Bundle(for: Self.self).url(forResource: "bundle", withExtension: nil))
        return try EdgekdModel(root: root)
    }

    func testTheFileIsTheOneOfTheManifest() throws {
        let model = try self.model()
        let digest = SHA256.hash(data: try model.data(model.facts.file))
        XCTAssertEqual(digest.map { String(format: "%02x", $0) }.joined(), model.facts.sha256)
    }

    func testGoldenVectorsComeOut() throws {
        let model = try self.model()
        let golden = try JSONDecoder().decode(GoldenIndex.self, from: model.data(model.manifest.golden.index))
        let tolerance = try self.tolerance(XCTUnwrap(golden.tolerances[model.facts.file]))
        var apart = 0.0
        for (number, item) in golden.items.enumerated() {
            let expected = try XCTUnwrap(item.models[model.facts.file])
            let inputs = try stored(expected.inputs, model)
            if model.manifest.preprocessing.kind == "image", let raw = item.raw {
                try checkPrepared(raw, inputs, model, number)
            }
            let outputs = try model.run(inputs)
            let wanted = try stored(expected.outputs, model)
            for tensor in model.facts.outputs {
                let found = model.real(try XCTUnwrap(outputs[tensor.name]), tensor)
                apart = max(apart, checkOutput(found, model.real(try XCTUnwrap(wanted[tensor.name]), tensor), tolerance, number))
            }
        }
        print("\(model.facts.file): ok: \(golden.items.count) golden vectors, outputs \(apart) apart, \(tolerance.max_abs) allowed")
    }

    /// This processor's tolerance.
    private func tolerance(_ all: [Tolerance]) throws -> Tolerance {
        #if arch(arm64)
            let own = "arm64"
        #else
            let own = "x86_64"
        #endif
        return try XCTUnwrap(all.first { $0.isa == own } ?? all.first { $0.isa == "any" })
    }

    private func stored(_ list: [Stored], _ model: EdgekdModel) throws -> [String: Data] {
        Dictionary(uniqueKeysWithValues: try list.map { ($0.name, try model.data($0.file)) })
    }

    private func checkPrepared(_ raw: String, _ inputs: [String: Data], _ model: EdgekdModel, _ number: Int) throws {
        let tensor = model.facts.inputs[0]
        let found = numbers(try model.prepared(model.data(raw)), tensor.dtype)
        let wanted = numbers(try XCTUnwrap(inputs[tensor.name]), tensor.dtype)
        let within = tensor.dtype == .float32 ? 1e-5 : 1 // rounding of another compiler
        XCTAssertLessThanOrEqual(farthest(found, wanted), within, "golden vector \(number): prepared here")
    }

    /// Fails where an output lies outside the tolerance (NaN does), and returns how far it is apart.
    private func checkOutput(_ found: [Double], _ wanted: [Double], _ tolerance: Tolerance, _ number: Int) -> Double {
        let apart = farthest(found, wanted)
        XCTAssertLessThanOrEqual(apart, tolerance.max_abs, "golden vector \(number)")
        guard found.count == wanted.count else { return apart }
        let (best, expected) = (largest(found), largest(wanted))
        if tolerance.top1 && best != expected {
            XCTAssertLessThanOrEqual(wanted[expected] - wanted[best], tolerance.max_abs, "golden vector \(number): class \(best)")
        }
        if let least = tolerance.cosine {
            let cosine = dot(found, wanted) / (dot(found, found) * dot(wanted, wanted)).squareRoot()
            XCTAssertGreaterThanOrEqual(cosine, least, "golden vector \(number): cosine")
        }
        return apart
    }

    private func farthest(_ a: [Double], _ b: [Double]) -> Double {
        guard a.count == b.count else { return .infinity }
        return zip(a, b).map { abs($0 - $1) }.reduce(0) { $1 <= $0 ? $0 : $1 } // so NaN stays
    }

    private func largest(_ values: [Double]) -> Int {
        values.indices.max { values[$0] < values[$1] } ?? 0
    }

    private func dot(_ a: [Double], _ b: [Double]) -> Double {
        zip(a, b).map { $0 * $1 }.reduce(0, +)
    }
}
