/* Reading numbers of any real type from anywhere: the one place where foreign data enters.

   Elements `stride` bytes apart (any sign, any alignment, either byte order) become float or double.
   The types are one table; loops for each type and target expand from it. */
#ifndef CYMLP_CONVERT_H
#define CYMLP_CONVERT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* IEEE binary16, taken apart by hand: compilers differ in when they know a half type.
   A normal half is rebiased by 2^112 as a float; a subnormal one is its integer times 2^-24. */
static inline float half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    uint32_t bits = (magnitude << 13) + (112u << 23);
    float value;
    if (magnitude >= 0x7c00u) bits += 112u << 23; /* Inf and NaN keep the largest exponent */
    if (magnitude < 0x0400u) {
        value = (float)magnitude * 0x1p-24f;
        memcpy(&bits, &value, 4);
    }
    bits |= sign;
    memcpy(&value, &bits, 4);
    return value;
}

#define AS_IS(value) (value)
#define NONZERO(value) ((value) != 0)

/*       code, name, C type, how its value is read */
#define SOURCE_TYPES(ROW)                                                                          \
    ROW(0, boolean, uint8_t, NONZERO)                                                              \
    ROW(1, int8, int8_t, AS_IS)                                                                    \
    ROW(2, uint8, uint8_t, AS_IS)                                                                  \
    ROW(3, int16, int16_t, AS_IS)                                                                  \
    ROW(4, uint16, uint16_t, AS_IS)                                                                \
    ROW(5, int32, int32_t, AS_IS)                                                                  \
    ROW(6, uint32, uint32_t, AS_IS)                                                                \
    ROW(7, int64, int64_t, AS_IS)                                                                  \
    ROW(8, uint64, uint64_t, AS_IS)                                                                \
    ROW(9, float16, uint16_t, half_to_float)                                                       \
    ROW(10, float32, float, AS_IS)                                                                 \
    ROW(11, float64, double, AS_IS)                                                                \
    ROW(12, longdouble, long double, AS_IS)

#define SOURCE_ENUM(code, name, T, read) SOURCE_##name = code,
enum { SOURCE_TYPES(SOURCE_ENUM) };

/* An element, of any alignment and either byte order. */
static inline __attribute__((always_inline)) void take(void *value, const char *at, size_t size,
                                                       int swapped)
{
    if (swapped)
        for (size_t b = 0; b < size; b++) ((char *)value)[b] = at[size - 1 - b];
    else
        memcpy(value, at, size);
}

#define SOURCE_LOOP(T, read, place, swapped)                                                       \
    for (ptrdiff_t i = 0; i < n; i++) {                                                            \
        T value;                                                                                   \
        take(&value, source + (place), sizeof(T), swapped);                                        \
        out[i] = (TARGET)read(value);                                                              \
    }

#define SOURCE_ROW(code, name, T, read)                                                            \
    case code:                                                                                     \
        if (stride == (ptrdiff_t)sizeof(T) && !swapped)                                            \
            SOURCE_LOOP(T, read, i * (ptrdiff_t)sizeof(T), 0)                                      \
        else                                                                                       \
            SOURCE_LOOP(T, read, i * stride, swapped)                                              \
        break;

#define SOURCE_PICKED(code, name, T, read)                                                         \
    case code: SOURCE_LOOP(T, read, (ptrdiff_t)order[i] * stride, swapped) break;

/* convert_row: n elements that lie `stride` bytes apart. convert_picked: those of the numbers in
   `order`, as one column of rows in another order is read. */
#define DEFINE_CONVERT(suffix)                                                                     \
    static inline void convert_row_##suffix(TARGET *out, const char *source, ptrdiff_t stride,     \
                                            ptrdiff_t n, int type, int swapped)                    \
    {                                                                                              \
        switch (type) { SOURCE_TYPES(SOURCE_ROW) }                                                 \
    }                                                                                              \
    static inline void convert_picked_##suffix(TARGET *out, const char *source, ptrdiff_t stride,  \
                                               const long long *order, ptrdiff_t n, int type,      \
                                               int swapped)                                        \
    {                                                                                              \
        switch (type) { SOURCE_TYPES(SOURCE_PICKED) }                                              \
    }

#define TARGET float
DEFINE_CONVERT(f32)
#undef TARGET
#define TARGET double
DEFINE_CONVERT(f64)
#undef TARGET

#endif
