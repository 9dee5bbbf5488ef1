// From an image file to what the model's input holds, as manifest.json's "preprocessing" says.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Values (3, height, width), or (height, width, 3) if `last`; `plain`: 0 to 255, since the model does the rest itself.
std::vector<float> prepared_image(const std::string& file_bytes, const nlohmann::json& facts, bool last, bool plain);
