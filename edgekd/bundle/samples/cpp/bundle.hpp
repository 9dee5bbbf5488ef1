// A folder with manifest.json, and its ONNX models in onnxruntime.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>
#include <string>
#include <vector>

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;  // little-endian, in C order
};
using Tensors = std::map<std::string, Tensor>;  // by the name of the model's input or output

class Bundle {
 public:
  explicit Bundle(std::filesystem::path root);

  // Runs the golden vectors and prints a line for each model; false where one is not as it must be, or none ran.
  bool check();

  // What the first ONNX model says of an image file: labels with probabilities, or the vector.
  std::string answer(const std::filesystem::path& file);

 private:
  std::string check_model(const nlohmann::json& model, const nlohmann::json& golden);
  Tensors prepared(const std::string& raw, const nlohmann::json& model) const;
  Tensors run(const nlohmann::json& model, const Tensors& inputs);
  Tensor stored(const nlohmann::json& facts) const;
  std::string read(const std::filesystem::path& place) const;

  std::filesystem::path root_;
  nlohmann::json manifest_;
  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR, "edgekd"};
  std::map<std::string, Ort::Session> sessions_;
};
