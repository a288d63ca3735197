// The two functions of zlib that Verilator's FST writer calls, for machines without its header.
//
// Streams are valid and not compressed: stored blocks of RFC 1951 within RFC 1950.
#pragma once

#include <cstring>

using Bytef = unsigned char;
using uLong = unsigned long;
using uLongf = unsigned long;

constexpr int Z_OK = 0;
constexpr int Z_BUF_ERROR = -5;

inline uLong compressBound(uLong size) { return size + (size / 65535 + 1) * 5 + 6; }

inline int compress2(Bytef* target, uLongf* length, const Bytef* source, uLong size, int) {
    constexpr uLong LONGEST = 65535;
    if (*length < compressBound(size)) return Z_BUF_ERROR;
    Bytef* next = target;
    *next++ = 0x78;
    *next++ = 0x01;
    uLong done = 0;
    do {
        const uLong count = size - done < LONGEST ? size - done : LONGEST;
        *next++ = done + count == size;
        *next++ = count & 255;
        *next++ = count >> 8;
        *next++ = ~count & 255;
        *next++ = ~count >> 8 & 255;
        std::memcpy(next, source + done, count);
        next += count;
        done += count;
    } while (done < size);
    uLong a = 1, b = 0;
    for (uLong index = 0; index < size; ++index) {
        a = (a + source[index]) % 65521;
        b = (b + a) % 65521;
    }
    for (const uLong sum : {b, a}) {
        *next++ = sum >> 8 & 255;
        *next++ = sum & 255;
    }
    *length = next - target;
    return Z_OK;
}
