# Flags of every target: C11 without extensions, strict warnings, hidden symbols.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()

add_compile_definitions(_POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wvla -Wmissing-prototypes
                    -Wstrict-prototypes -Wpointer-arith -Wwrite-strings)
if(HT_WERROR)
    add_compile_options(-Werror)
endif()
if(HT_BUILD_FUZZERS)
    set(HT_SANITIZE ON)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(HT_SANITIZE)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                        -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=address,undefined)
endif()

# ht_folder(name sources...): one folder of the tree as an object library whose include path is
# the folder itself.
function(ht_folder name)
    add_library(${name} OBJECT ${ARGN})
    target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
endfunction()
