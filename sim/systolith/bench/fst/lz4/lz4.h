// The two functions of LZ4 that Verilator's FST writer calls, for machines without liblz4's header.
//
// Blocks are valid and not compressed: one sequence of literals, which every LZ4 decoder reads.
// Waveforms are larger than with the library. Where the format allows uncompressed data, the writer
// stores it.
#pragma once

#include <cstring>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    unsigned char* next = reinterpret_cast<unsigned char*>(target);
    // A token has the count of literals in its upper four bits; 15 and more go on in bytes.
    *next++ = static_cast<unsigned char>((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int left = size - 15;
        for (; left >= 255; left -= 255) *next++ = 255;
        *next++ = static_cast<unsigned char>(left);
    }
    std::memcpy(next, source, size);
    return static_cast<int>(reinterpret_cast<char*>(next) - target) + size;
}
