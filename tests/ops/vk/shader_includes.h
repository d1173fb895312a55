#include "blend.spv.h"
