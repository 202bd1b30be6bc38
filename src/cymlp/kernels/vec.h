/* Registers: one vector type per dtype, its width taken from the level's own macros.

   Only what a tile of registers needs stands here: an unaligned load and store, a broadcast, a
   fused multiply-add, relu (x < 0 ? 0 : x, which NaN and -0 pass) and its gradient, the gate
   (s <= 0 ? 0 : x). Elementwise loops need none of it: the compiler vectorises them by itself.

   Beside the wide registers of AVX-512 stand their halves, h32 and h64, for what is at most half as
   wide: processors that do a wide operation in two turns (Zen 4) do a half one in one. */
#ifndef CYMLP_VEC_H
#define CYMLP_VEC_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define REGISTERS_256(S32, S64)                                                                    \
    typedef __m256 vec_##S32;                                                                      \
    typedef __m256d vec_##S64;                                                                     \
    static inline __m256 vec_set_##S32(float x) { return _mm256_set1_ps(x); }                      \
    static inline __m256d vec_set_##S64(double x) { return _mm256_set1_pd(x); }                    \
    static inline __m256 vec_fma_##S32(__m256 a, __m256 b, __m256 c)                               \
    {                                                                                              \
        return _mm256_fmadd_ps(a, b, c);                                                           \
    }                                                                                              \
    static inline __m256d vec_fma_##S64(__m256d a, __m256d b, __m256d c)                           \
    {                                                                                              \
        return _mm256_fmadd_pd(a, b, c);                                                           \
    }                                                                                              \
    static inline __m256 vec_relu_##S32(__m256 x)                                                  \
    {                                                                                              \
        return _mm256_max_ps(_mm256_setzero_ps(), x);                                              \
    }                                                                                              \
    static inline __m256d vec_relu_##S64(__m256d x)                                                \
    {                                                                                              \
        return _mm256_max_pd(_mm256_setzero_pd(), x);                                              \
    }                                                                                              \
    static inline __m256 vec_gate_##S32(__m256 x, __m256 s)                                        \
    {                                                                                              \
        return _mm256_and_ps(_mm256_cmp_ps(s, _mm256_setzero_ps(), _CMP_NLE_UQ), x);               \
    }                                                                                              \
    static inline __m256d vec_gate_##S64(__m256d x, __m256d s)                                     \
    {                                                                                              \
        return _mm256_and_pd(_mm256_cmp_pd(s, _mm256_setzero_pd(), _CMP_NLE_UQ), x);               \
    }
#endif

#if defined(__AVX512F__)
#define VEC_BYTES 64
#define NARROW_BYTES 32 /* of the half registers */
#define TILE_VECTORS 4 /* 6 x 4 accumulators of the 32 registers */
typedef __m512 vec_f32;
typedef __m512d vec_f64;
#define vec_set_f32 _mm512_set1_ps
#define vec_set_f64 _mm512_set1_pd
#define vec_fma_f32 _mm512_fmadd_ps
#define vec_fma_f64 _mm512_fmadd_pd
#define vec_relu_f32(x) _mm512_max_ps(_mm512_setzero_ps(), x)
#define vec_relu_f64(x) _mm512_max_pd(_mm512_setzero_pd(), x)
#define vec_gate_f32(x, s) _mm512_maskz_mov_ps( \
    _mm512_cmp_ps_mask(s, _mm512_setzero_ps(), _CMP_NLE_UQ), x)
#define vec_gate_f64(x, s) _mm512_maskz_mov_pd( \
    _mm512_cmp_pd_mask(s, _mm512_setzero_pd(), _CMP_NLE_UQ), x)
REGISTERS_256(h32, h64)
#define VEC_LANES_h32 8
#define VEC_LANES_h64 4
#elif defined(__AVX2__) && defined(__FMA__)
#define VEC_BYTES 32
#define TILE_VECTORS 2 /* 6 x 2 of 16 */
REGISTERS_256(f32, f64)
#elif defined(__aarch64__)
#include <arm_neon.h>
#define VEC_BYTES 16
#define TILE_VECTORS 4 /* 6 x 4 of 32 */
typedef float32x4_t vec_f32;
typedef float64x2_t vec_f64;
#define vec_set_f32 vdupq_n_f32
#define vec_set_f64 vdupq_n_f64
#define vec_fma_f32(a, b, c) vfmaq_f32(c, a, b)
#define vec_fma_f64(a, b, c) vfmaq_f64(c, a, b)
#define vec_relu_f32(x) vbslq_f32(vcltzq_f32(x), vdupq_n_f32(0), x)
#define vec_relu_f64(x) vbslq_f64(vcltzq_f64(x), vdupq_n_f64(0), x)
#define vec_gate_f32(x, s) vbslq_f32(vclezq_f32(s), vdupq_n_f32(0), x)
#define vec_gate_f64(x, s) vbslq_f64(vclezq_f64(s), vdupq_n_f64(0), x)
#else /* x86-64-v2: no fused multiply-add, so its bits differ (it stands outside that promise) */
#include <immintrin.h>
#define VEC_BYTES 16
#define TILE_VECTORS 2 /* 6 x 2 of 16 */
typedef __m128 vec_f32;
typedef __m128d vec_f64;
#define vec_set_f32 _mm_set1_ps
#define vec_set_f64 _mm_set1_pd
#define vec_fma_f32(a, b, c) ((a) * (b) + (c))
#define vec_fma_f64(a, b, c) ((a) * (b) + (c))
#define vec_relu_f32(x) _mm_max_ps(_mm_setzero_ps(), x)
#define vec_relu_f64(x) _mm_max_pd(_mm_setzero_pd(), x)
#define vec_gate_f32(x, s) _mm_and_ps(_mm_cmpnle_ps(s, _mm_setzero_ps()), x)
#define vec_gate_f64(x, s) _mm_and_pd(_mm_cmpnle_pd(s, _mm_setzero_pd()), x)
#endif

#define VEC_LANES_f32 (VEC_BYTES / 4)
#define VEC_LANES_f64 (VEC_BYTES / 8)

#ifndef NARROW_BYTES
#define NARROW_BYTES VEC_BYTES
#endif

#define UNALIGNED(S, T, bytes) \
    typedef T vec_unaligned_##S __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
UNALIGNED(f32, float, VEC_BYTES)
UNALIGNED(f64, double, VEC_BYTES)
UNALIGNED(h32, float, NARROW_BYTES)
UNALIGNED(h64, double, NARROW_BYTES)

#define LOAD(S, p) ((vec_##S)(*(const vec_unaligned_##S *)(p)))
#define STORE(S, p, v) (*(vec_unaligned_##S *)(p) = (vec_unaligned_##S)(v))
#define vec_load_f32(p) LOAD(f32, p)
#define vec_load_f64(p) LOAD(f64, p)
#define vec_load_h32(p) LOAD(h32, p)
#define vec_load_h64(p) LOAD(h64, p)
#define vec_store_f32(p, v) STORE(f32, p, v)
#define vec_store_f64(p, v) STORE(f64, p, v)
#define vec_store_h32(p, v) STORE(h32, p, v)
#define vec_store_h64(p, v) STORE(h64, p, v)

#endif
