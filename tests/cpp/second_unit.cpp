// distflow.hpp in a second unit of one program.

#include <distflow.hpp>

std::string version_of_second_unit();

std::string version_of_second_unit() { return std::string(distflow::version()); }
