/* api.h - what every public header needs: the export mark and the C++ bracket. */
#ifndef FRESHET_API_H
#define FRESHET_API_H

#if defined(__GNUC__)
#define FR_API       __attribute__((visibility("default")))
#define FR_NODISCARD __attribute__((warn_unused_result))
#else
#define FR_API
#define FR_NODISCARD
#endif

#ifdef __cplusplus
#define FR_BEGIN_DECLS extern "C" {
#define FR_END_DECLS   }
#else
#define FR_BEGIN_DECLS
#define FR_END_DECLS
#endif

#endif
