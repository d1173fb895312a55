#ifndef EASEL_COMMON_LIMITS_H
#define EASEL_COMMON_LIMITS_H

/* Every bound on outside input, on one screen. */
#define LIMIT_SIDE            4096u                  /* pixels, width or height */
#define LIMIT_SIDE_MIN        64u
#define LIMIT_SIDE_MULTIPLE   16u
#define LIMIT_STEPS           1000u
#define LIMIT_GUIDANCE        100.0
#define LIMIT_PROMPT          (8u << 20)             /* bytes of one prompt */
#define LIMIT_BODY            (64u << 20)            /* request body, JSON or multipart */
#define LIMIT_HEAD            (1u << 20)             /* HTTP request head */
#define LIMIT_FRAME           (64u << 20)            /* JSON frame gateway <-> runner */
#define LIMIT_IMAGE           (256u << 20)           /* binary frame: one picture */
#define LIMIT_INPUT_IMAGES    16u                    /* pictures to start from or to refer to */
#define LIMIT_INPUT_PIXELS    (1u << 26)             /* of one of them, before it is unpacked */
#define LIMIT_INPUT_PIXELS_ALL (1u << 28)            /* of those of one request */
#define LIMIT_INPUT_SIDE      (1u << 16)             /* width or height of one of them */
#define LIMIT_INPUT_BYTES     (256u << 20)           /* files of one request, the mask's too */
#define LIMIT_UPLOADS_HELD    (1u << 30)             /* of all requests: bodies being received, prompts and pictures in line */
#define LIMIT_BODY_SMALL      (64u << 10)            /* a body or prompt that is taken beyond that, too */
#define LIMIT_KEPT_BYTES      (256u << 20)           /* pictures that can be fetched by URL */
#define LIMIT_KEPT_FILES      1024u
#define LIMIT_NOTED_PROMPT    (64u << 10)            /* bytes of a prompt in a picture's texts: more than LIMIT_PROMPT_TOKENS take */
#define LIMIT_PARTIAL_IMAGES  3u                     /* sent of a picture before it is finished */
#define LIMIT_PNG_CHUNK       (16u << 20)            /* any but the picture's data */
#define LIMIT_JPEG_SCANS      100u                   /* passes over a picture */
#define LIMIT_JPEG_SCANS_LARGE 16u                   /* over one of LIMIT_INPUT_PIXELS */
#define LIMIT_INPUT_STRINGS   64u                    /* below the members of a JSON body that bring pictures */
#define LIMIT_PARTS           128u                   /* of a multipart body */
#define LIMIT_PART_HEAD       (16u << 10)            /* header of one of them */
#define LIMIT_BOUNDARY        70u                    /* between them: RFC 2046 */
#define LIMIT_JSON_DEPTH      64u
#define LIMIT_ST_HEADER       (100u << 20)           /* safetensors header */
#define LIMIT_ST_TENSORS      (1u << 20)
#define LIMIT_ST_RANK         8u
#define LIMIT_GGUF_TENSORS    (1u << 16)
#define LIMIT_GGUF_VALUES     (1u << 16)             /* of its metadata */
#define LIMIT_GGUF_NAME       256u
#define LIMIT_CREATE_FILES    4096u                  /* uploaded files that one model is made from */
#define LIMIT_LAYERS          (1u << 17)             /* layers of one manifest */
#define LIMIT_MANIFEST        (64u << 20)
#define LIMIT_VERIFIED        (16u << 20)            /* record of verified blobs */
#define LIMIT_CONFIG_FILE     (64u << 20)            /* config.json, tokenizer.json */
#define LIMIT_KERNEL_CACHE    (256u << 20)           /* file of compiled kernels */
#define LIMIT_PROMPT_TOKENS   512u                   /* longer prompts are cut, as the pipelines do */

#endif
