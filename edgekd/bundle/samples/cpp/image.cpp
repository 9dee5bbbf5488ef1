#include "image.hpp"

#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

namespace {

struct Image {
  int height, width, channels;
  std::vector<float> data;  // (height, width, channels)
};

struct Shares {  // of old pixels in a new one
  int first;
  std::vector<double> shares;
};

// RGB, or the one channel that grey training images had.
Image decoded(const std::string& bytes, bool grey) {
  int width = 0, height = 0, channels = 0;
  const auto* begin = reinterpret_cast<const stbi_uc*>(bytes.data());
  std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(begin, static_cast<int>(bytes.size()), &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) throw std::runtime_error(std::string("not an image: ") + stbi_failure_reason());
  const stbi_uc* from = pixels.get();
  const int count = height * width;
  if (!grey) return {height, width, 3, std::vector<float>(from, from + count * 3)};
  Image image{height, width, 1, std::vector<float>(count)};
  for (int place = 0; place < count; ++place, from += 3)  // as Pillow does
    image.data[place] = static_cast<float>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 32768) >> 16);
  return image;
}

// A bilinear filter over the `length` pixels in the middle of `old`.
std::vector<Shares> triangles(int old, double length, int count, bool antialiased) {
  const double step = length / count, radius = antialiased ? std::max(step, 1.0) : 1.0;
  std::vector<Shares> made(count);
  for (int place = 0; place < count; ++place) {
    const double centre = (old - length) / 2 + (place + 0.5) * step;
    auto& [first, shares] = made[place];
    first = std::max(0, static_cast<int>(std::floor(centre - radius)));
    const int end = std::min(old, static_cast<int>(std::ceil(centre + radius)));
    double sum = 0;
    for (int at = first; at < end; ++at) sum += shares.emplace_back(std::max(0.0, 1 - std::abs(at + 0.5 - centre) / radius));
    for (double& share : shares) share /= sum;
  }
  return made;
}

// Data (groups, old, size) -> (groups, new, size), rounded as Pillow does after each axis.
std::vector<float> weighted(const std::vector<float>& data, int groups, const std::vector<Shares>& weights, int size) {
  const int old = static_cast<int>(data.size()) / groups / size;
  std::vector<float> result;
  result.reserve(groups * weights.size() * size);
  for (int group = 0; group < groups; ++group)
    for (const auto& [first, shares] : weights)
      for (int one = 0; one < size; ++one) {
        double sum = 0.5;
        for (size_t at = 0; at < shares.size(); ++at) sum += shares[at] * data[(group * old + first + at) * size + one];
        result.push_back(static_cast<float>(std::floor(sum)));
      }
  return result;
}

// To the size of the training images, as those were: bilinear, antialiased, perhaps the middle part alone.
Image resized(Image image, const nlohmann::json& facts) {
  const int height = facts["height"], width = facts["width"];
  if (image.height == height && image.width == width) return image;
  const bool antialiased = facts["resize"] != "bilinear", crop = facts["crop"] == "centre";
  const double part = std::min(double(image.height) / height, double(image.width) / width);
  const auto across = triangles(image.width, crop ? part * width : image.width, width, antialiased);
  const auto down = triangles(image.height, crop ? part * height : image.height, height, antialiased);
  const auto rows = weighted(image.data, image.height, across, image.channels);  // (image.height, width, channels)
  return {height, width, image.channels, weighted(rows, 1, down, width * image.channels)};
}

}  // namespace

std::vector<float> prepared_image(const std::string& file_bytes, const nlohmann::json& facts, bool last, bool plain) {
  const Image image = resized(decoded(file_bytes, facts["colour"] == "grey-as-rgb"), facts);
  const float low = facts["value_range"][0], high = facts["value_range"][1];
  const int count = image.height * image.width;
  std::vector<float> values(count * 3);
  for (int place = 0; place < count; ++place)
    for (int channel = 0; channel < 3; ++channel) {
      const float pixel = image.data[place * image.channels + channel % image.channels];
      const float mean = facts["mean"][channel], scale = facts["scale"][channel];
      const float normal = (pixel * ((high - low) / 255) + low - mean) / scale;
      values[last ? place * 3 + channel : channel * count + place] = plain ? pixel : normal;
    }
  return values;
}
