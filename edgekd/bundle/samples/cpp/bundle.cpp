#include "bundle.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "image.hpp"

using nlohmann::json;

namespace {

struct Type {
  ONNXTensorElementDataType onnx;
  size_t size;
};
const std::map<std::string, Type> TYPES{
    {"float32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4}}, {"int8", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1}},
    {"uint8", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1}},   {"int32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4}},
    {"int64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8}},
};

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

const json& named(const json& list, const std::string& key, const std::string& value) {
  for (const auto& each : list)
    if (each[key] == value) return each;
  fail("found no " + value + " in " + key);
}

template <typename T>
std::vector<double> values_as(const std::string& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return {values.begin(), values.end()};
}

// The numbers of a tensor as they are stored.
std::vector<double> values(const Tensor& tensor) {
  if (tensor.dtype == "float32") return values_as<float>(tensor.bytes);
  if (tensor.dtype == "int8") return values_as<int8_t>(tensor.bytes);
  if (tensor.dtype == "uint8") return values_as<uint8_t>(tensor.bytes);
  if (tensor.dtype == "int32") return values_as<int32_t>(tensor.bytes);
  return values_as<int64_t>(tensor.bytes);
}

// The same as real numbers.
std::vector<double> real(const Tensor& tensor, const json& facts) {
  auto found = values(tensor);
  if (!facts["scale"].is_null())
    for (double& value : found) value = double(facts["scale"]) * (value - double(facts["zero_point"]));
  return found;
}

// Real values as the model takes them.
Tensor quantized(const std::vector<float>& values, const json& facts, std::vector<int64_t> shape) {
  const std::string dtype = facts["dtype"];
  if (dtype == "float32") return {dtype, shape, {reinterpret_cast<const char*>(values.data()), values.size() * 4}};
  const bool has_sign = dtype == "int8", scaled = !facts["scale"].is_null();
  const float scale = scaled ? float(facts["scale"]) : 1.0f, zero = scaled ? float(facts["zero_point"]) : 0.0f;
  std::string bytes;
  for (float value : values)  // nearbyint: halves to even
    bytes += static_cast<char>(static_cast<int>(
        std::clamp(std::nearbyint(value / scale) + zero, has_sign ? -128.0f : 0.0f, has_sign ? 127.0f : 255.0f)));
  return {dtype, shape, bytes};
}

// The largest difference; infinity where there are more of one than of the other, NaN where one is NaN.
double farthest(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double most = 0;
  for (size_t at = 0; at < a.size(); ++at) {
    const double apart = std::abs(a[at] - b[at]);
    if (!(apart <= most)) most = apart;
  }
  return most;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

size_t largest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

const json& tolerated(const json& tolerances) {
#if defined(__x86_64__) || defined(_M_X64)
  const char* own = "x86_64";
#elif defined(__aarch64__) || defined(_M_ARM64)
  const char* own = "arm64";
#else
  const char* own = "any";
#endif
  for (const auto& each : tolerances)
    if (each["isa"] == own) return each;
  return named(tolerances, "isa", "any");
}

void check_prepared(const Tensors& found, const Tensors& wanted) {
  for (const auto& [name, tensor] : found) {
    const Tensor& want = wanted.at(name);
    if (tensor.dtype != want.dtype || tensor.shape != want.shape) fail("input " + name + " has another type or shape");
    const double apart = farthest(values(tensor), values(want));
    const double within = tensor.dtype == "float32" ? 1e-5 : 1;  // rounding of another compiler
    if (!(apart <= within)) fail("input " + name + ": prepared here it is " + std::to_string(apart) + " apart");
  }
}

// Throws where an output lies outside the tolerance (NaN does), or returns how far it is apart.
double check_output(const std::vector<double>& found, const std::vector<double>& wanted, const json& tolerance) {
  const double apart = farthest(found, wanted), limit = tolerance["max_abs"];
  if (!(apart <= limit)) fail(std::to_string(apart) + " apart, " + std::to_string(limit) + " allowed");
  const size_t best = largest(found), expected = largest(wanted);
  if (tolerance["top1"] && best != expected && wanted[expected] - wanted[best] > limit)
    fail("class " + std::to_string(best) + " is the largest, expected " + std::to_string(expected));
  const double alike = dot(found, wanted) / std::sqrt(dot(found, found) * dot(wanted, wanted));
  if (!tolerance["cosine"].is_null() && !(alike >= tolerance["cosine"]))
    fail("cosine " + std::to_string(alike) + ", expected at least " + tolerance["cosine"].dump());
  return apart;
}

}  // namespace

Bundle::Bundle(std::filesystem::path root) : root_(std::move(root)), manifest_(json::parse(read("manifest.json"))) {}

bool Bundle::check() {
  const json golden = json::parse(read(manifest_["golden"]["index"].get<std::string>()));
  bool ran = false, good = true;
  for (const auto& model : manifest_["models"]) {
    std::cout << model["file"].get<std::string>() << ": ";
    if (model["format"] != "onnx") {
      std::cout << "not run: onnxruntime takes ONNX files\n";
      continue;
    }
    ran = true;
    try {
      std::cout << "ok: " << check_model(model, golden) << "\n";
    } catch (const std::exception& error) {
      std::cout << "FAILED: " << error.what() << "\n";
      good = false;
    }
  }
  return ran && good;
}

std::string Bundle::check_model(const json& model, const json& golden) {
  const std::string file = model["file"];
  if (std::filesystem::file_size(root_ / file) != model["size_bytes"])
    fail("this is not the file of which manifest.json speaks (size)");
  const json& tolerance = tolerated(golden["tolerances"].at(file));
  double apart = 0;
  size_t number = 0;
  try {
    for (const auto& item : golden["items"]) {
      const json& expected = item["models"].at(file);
      Tensors inputs;
      for (const auto& each : expected["inputs"]) inputs[each["name"]] = stored(each);
      if (manifest_["preprocessing"]["kind"] == "image" && !item["raw"].is_null())
        check_prepared(prepared(read(item["raw"].get<std::string>()), model), inputs);
      const Tensors outputs = run(model, inputs);
      for (const auto& each : expected["outputs"]) {
        const json& facts = named(model["outputs"], "name", each["name"]);
        apart = std::max(apart, check_output(real(outputs.at(each["name"]), facts), real(stored(each), facts), tolerance));
      }
      ++number;
    }
  } catch (const std::exception& error) {
    fail("golden vector " + std::to_string(number) + ": " + error.what());
  }
  std::ostringstream said;
  said << number << " golden vectors, outputs " << apart << " apart, " << tolerance["max_abs"] << " allowed on "
       << tolerance["isa"].get<std::string>();
  if (manifest_["preprocessing"]["kind"] == "text") said << "; token ids taken from the golden vectors";
  return said.str();
}

std::string Bundle::answer(const std::filesystem::path& file) {
  const json& model = named(manifest_["models"], "format", "onnx");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail("can't read " + file.string());
  const std::string raw{std::istreambuf_iterator<char>(stream), {}};
  const json& facts = model["outputs"][0];
  auto output = real(run(model, prepared(raw, model)).at(facts["name"]), facts);
  const json& after = manifest_["postprocessing"];
  std::ostringstream said;
  if (after["kind"] != "softmax") {
    for (double value : output) said << value << " ";
    return said.str();
  }
  const double temperature = after.value("temperatures", json::object()).value(model["file"], double(after["temperature"]));
  const double threshold = after["threshold"].is_null() ? 0.0 : double(after["threshold"]), most = output[largest(output)];
  double sum = 0;
  for (double& value : output) sum += value = std::exp((value - most) / temperature);
  std::vector<size_t> order(output.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return output[a] > output[b]; });
  order.resize(std::min<size_t>(order.size(), 3));
  const json labels = after["labels"].is_null() ? json() : json::parse(read(after["labels"].get<std::string>()));
  for (size_t index : order)
    if (output[index] / sum >= threshold)
      said << (labels.is_null() ? std::to_string(index) : labels[index].get<std::string>()) << " " << output[index] / sum << "  ";
  return said.str();
}

Tensors Bundle::prepared(const std::string& raw, const json& model) const {
  const json& facts = manifest_["preprocessing"];
  if (facts["kind"] != "image") fail("this sample has no tokenizer: it takes token ids from the golden vectors");
  const json& input = model["inputs"][0];
  const bool last = facts["layouts"].at(model["file"].get<std::string>()) == "NHWC";
  const bool plain = std::count(facts["in_graph"].begin(), facts["in_graph"].end(), model["file"]) > 0;
  const int64_t height = facts["height"], width = facts["width"];
  const auto shape = last ? std::vector<int64_t>{1, height, width, 3} : std::vector<int64_t>{1, 3, height, width};
  return {{input["name"], quantized(prepared_image(raw, facts, last, plain), input, shape)}};
}

Tensors Bundle::run(const json& model, const Tensors& inputs) {
  const std::string file = model["file"];
  if (!sessions_.count(file)) sessions_.emplace(file, Ort::Session(env_, (root_ / file).c_str(), Ort::SessionOptions()));
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<Ort::Value> fed;
  std::vector<const char*> names, results;
  for (const auto& [name, tensor] : inputs) {
    auto* data = const_cast<char*>(tensor.bytes.data());  // onnxruntime only reads it
    const Type type = TYPES.at(tensor.dtype);
    fed.push_back(Ort::Value::CreateTensor(memory, data, tensor.bytes.size(), tensor.shape.data(), tensor.shape.size(), type.onnx));
    names.push_back(name.c_str());
  }
  for (const auto& each : model["outputs"]) results.push_back(each["name"].get_ref<const std::string&>().c_str());
  auto given = sessions_.at(file).Run(Ort::RunOptions(), names.data(), fed.data(), fed.size(), results.data(), results.size());
  Tensors outputs;
  for (size_t at = 0; at < given.size(); ++at) {
    const auto info = given[at].GetTensorTypeAndShapeInfo();
    const std::string dtype = model["outputs"][at]["dtype"];
    if (info.GetElementType() != TYPES.at(dtype).onnx) fail(std::string("output ") + results[at] + " is not " + dtype);
    const auto* data = static_cast<const char*>(given[at].GetTensorRawData());
    outputs[results[at]] = {dtype, info.GetShape(), {data, info.GetElementCount() * TYPES.at(dtype).size}};
  }
  return outputs;
}

Tensor Bundle::stored(const json& facts) const {
  return {facts["dtype"], facts["shape"], read(facts["file"].get<std::string>())};
}

std::string Bundle::read(const std::filesystem::path& place) const {
  std::ifstream stream(root_ / place, std::ios::binary);
  if (!stream) fail("can't read " + (root_ / place).string());
  return {std::istreambuf_iterator<char>(stream), {}};
}
