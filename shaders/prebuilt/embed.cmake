# cmake -DNAME=… -DFROM=….spv -DTO=….h -P embed.cmake: SPIR-V as the array that glslang would write.
file(READ "${FROM}" bytes HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1,\n" words "${bytes}")
file(WRITE "${TO}" "const uint32_t ht_spirv_${NAME}[] = {\n${words}};\n")
