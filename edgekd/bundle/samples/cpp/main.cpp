// edgekd_sample BUNDLE             checks the bundle by its golden vectors; exit code 0 or 1
// edgekd_sample BUNDLE FILE.png …  answers for images
#include <iostream>

#include "bundle.hpp"

int main(int count, char** arguments) {
  if (count < 2) {
    std::cerr << "usage: edgekd_sample BUNDLE [IMAGE …]\n";
    return 1;
  }
  try {
    Bundle bundle(arguments[1]);
    if (count == 2) return bundle.check() ? 0 : 1;
    for (int place = 2; place < count; ++place)
      std::cout << arguments[place] << ": " << bundle.answer(arguments[place]) << "\n";
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
