/*
 * The texts inside a finished picture's file: "parameters" as other image tools read it,
 * easel's own JSON, and XMP with IPTC's mark of pictures that a model made. Owns nothing;
 * any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/step_cache.h"
#include "common/utf8.h"
#include "runner/metadata.h"

#define SCHEDULER "flow_match"          /* every family of today is sampled by it */
#define SAMPLER "Euler"                 /* the same as other tools call it */
#define HASH_DIGITS 10                  /* of a digest, as those tools show them */
#define MAX_NOTE (16u << 20)            /* bytes; what is read again is bounded so, too */

static const char xmp_begin[] =
	"<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
	"<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n"
	"<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
	"<rdf:Description rdf:about=\"\"\n"
	" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n"
	" xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n"
	" xmlns:easel=\"urn:easel:picture\">\n"
	"<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/"
	"trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>\n"
	"<xmp:CreatorTool>easel " EASEL_VERSION "</xmp:CreatorTool>\n";
static const char xmp_end[] =
	"</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>";

/* Bytes of text up to most, whole letters. */
static size_t cut(const char *text, size_t most)
{
	size_t n = strlen(text);

	if (n <= most)
		return n;
	for (n = most; n && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static const char *digest_hex(const char *digest)
{
	const char *colon = digest ? strchr(digest, ':') : NULL;

	return colon ? colon + 1 : digest;
}

/* ---- easel's own ---- */

static json_t *cut_json(const char *text, size_t most)
{
	return text ? json_stringn(text, cut(text, most)) : NULL;
}

/* As the setting is written: "off", "teacache:0.2". */
static json_t *step_cache_json(const struct msg_generate *g)
{
	char text[64];
	size_t n;

	if (step_cache_mode_of(g->step_cache) <= STEP_CACHE_OFF)
		return json_string("off");
	n = (size_t)snprintf(text, sizeof text, "%s:%.9f", g->step_cache, g->step_cache_threshold);
	while (text[n - 1] == '0')
		text[--n] = '\0';
	if (text[n - 1] == '.')
		text[--n] = '\0';
	return json_string(text);
}

/* NULL values are left out. */
static int put(json_t *to, const char *name, json_t *value)
{
	return value ? json_object_set_new(to, name, value) : 0;
}

static json_t *describe(const struct picture_facts *f, size_t most)
{
	const struct msg_generate *g = f->request;
	json_t *to = json_object();
	int r = 0;

	r |= put(to, "easel", json_string(EASEL_VERSION));
	r |= put(to, "model", f->model ? json_string(f->model) : NULL);
	r |= put(to, "digest", f->digest ? json_string(digest_hex(f->digest)) : NULL);
	r |= put(to, "prompt", cut_json(g->prompt, most));
	r |= put(to, "negative_prompt", cut_json(g->negative, most));
	r |= put(to, "seed", json_integer((json_int_t)g->seed));
	r |= put(to, "steps", json_integer(g->steps));
	r |= put(to, "width", json_integer(f->width));
	r |= put(to, "height", json_integer(f->height));
	r |= put(to, "guidance", json_real(g->guidance));
	if (g->cfg_normalization > 0)
		r |= put(to, "cfg_normalization", json_real(g->cfg_normalization));
	if (g->cfg_truncation < 1 || g->cfg_truncation > 1)
		r |= put(to, "cfg_truncation", json_real(g->cfg_truncation));
	r |= put(to, "scheduler", json_string(SCHEDULER));
	r |= put(to, "step_cache", step_cache_json(g));
	if (g->images)
		r |= put(to, "images", json_integer(g->images));
	if (f->strength >= 0)
		r |= put(to, "strength", json_real(f->strength));
	if (r == 0)
		return to;
	json_decref(to);
	return NULL;
}

static char *own_text(const struct picture_facts *f, size_t most, size_t flags)
{
	json_t *object = describe(f, most);
	/* Decimals as somebody wrote them: 0.6, not the nearest double's 17 digits. */
	char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15) | flags) :
		     NULL;

	json_decref(object);
	return text;
}

/* ---- other tools' ---- */

static char *parameters_text(const struct picture_facts *f)
{
	const struct msg_generate *g = f->request;
	const char *hex = digest_hex(f->digest);
	struct buf out = BUF_INIT(MAX_NOTE);
	size_t len;

	buf_append(&out, g->prompt, cut(g->prompt, LIMIT_NOTED_PROMPT));
	if (g->negative && *g->negative) {
		buf_puts(&out, "\nNegative prompt: ");
		buf_append(&out, g->negative, cut(g->negative, LIMIT_NOTED_PROMPT));
	}
	buf_printf(&out, "\nSteps: %u, Sampler: " SAMPLER ", CFG scale: %g, Seed: %llu, Size: %ux%u",
		   g->steps, g->guidance, (unsigned long long)g->seed, f->width, f->height);
	if (hex)
		buf_printf(&out, ", Model hash: %.*s", HASH_DIGITS, hex);
	if (f->model)
		buf_printf(&out, ", Model: %s", f->model);
	if (f->strength >= 0)
		buf_printf(&out, ", Denoising strength: %g", f->strength);
	buf_puts(&out, ", Version: easel " EASEL_VERSION);
	return buf_take(&out, &len);
}

/* ---- XMP ---- */

static void append_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			buf_puts(out, "&lt;");
		else if (*text == '>')
			buf_puts(out, "&gt;");
		else if (*text == '&')
			buf_puts(out, "&amp;");
		else
			buf_append(out, text, 1);
	}
}

/* own: ASCII, so that no letter is in it that XML does not know; or NULL. */
static char *xmp_text(const char *own)
{
	struct buf out = BUF_INIT(MAX_NOTE);
	size_t len;

	buf_puts(&out, xmp_begin);
	if (own) {
		buf_puts(&out, "<easel:picture>");
		append_escaped(&out, own);
		buf_puts(&out, "</easel:picture>\n");
	}
	buf_puts(&out, xmp_end);
	return buf_take(&out, &len);
}

/* With easel's own text, of ever shorter prompts until it fits. */
static char *full_xmp_text(const struct picture_facts *f)
{
	size_t most = LIMIT_NOTED_PROMPT;
	char *xmp = NULL;

	do {
		char *own = own_text(f, most, JSON_ENSURE_ASCII);

		free(xmp);
		xmp = own ? xmp_text(own) : NULL;
		free(own);
		most /= 2;
	} while (xmp && strlen(xmp) > IMAGE_XMP_MAX);
	return xmp;
}

static int finish(struct image_notes *notes, bool good, struct err *err)
{
	if (good)
		return 0;
	image_notes_finish(notes);
	return err_set(err, -ENOMEM, "out of memory for a picture's texts");
}

int metadata_make(const struct picture_facts *f, enum output_format format,
		  struct image_notes *ret, struct err *err)
{
	*ret = (struct image_notes){ 0 };
	if (format != OUTPUT_PNG) {
		ret->xmp = full_xmp_text(f);
		return finish(ret, ret->xmp, err);
	}
	ret->parameters = parameters_text(f);
	ret->own = own_text(f, LIMIT_NOTED_PROMPT, 0);
	ret->xmp = xmp_text(NULL);
	return finish(ret, ret->parameters && ret->own && ret->xmp, err);
}

int metadata_make_unfinished(struct image_notes *ret, struct err *err)
{
	*ret = (struct image_notes){ .xmp = xmp_text(NULL) };
	return finish(ret, ret->xmp, err);
}
