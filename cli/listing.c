/*
 * Lists of models as tables: what easel list and easel ps share.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/listing.h"

void listing_id(const json_t *model, char ret[ID_SIZE])
{
	const char *digest = listing_text(model, "digest");

	if (!strncmp(digest, "sha256:", 7))
		digest += 7;
	snprintf(ret, ID_SIZE, "%s", digest);
}

const char *listing_text(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

int listing_print_json(const json_t *answer, struct err *err)
{
	if (json_dumpf(answer, stdout, JSON_COMPACT) < 0)
		return err_errno(err, EIO, "writing the answer");
	putchar('\n');
	return 0;
}

static int print_table(const struct listing *l, const json_t *models, struct err *err)
{
	struct table table = TABLE_INIT(l->n_columns);
	const json_t *model;
	size_t i;
	int r;

	json_array_foreach(models, i, model)
		l->row(l->ctx, model, &table);
	r = l->quiet ? table_print_first(&table, stdout)
		     : table_print(&table, l->header, 0, stdout);
	table_finish(&table);
	return r < 0 ? err_errno(err, -r, "printing the table") : 0;
}

int listing_run(const struct cli *cli, const struct listing *l, struct err *err)
{
	struct client c;
	json_t *answer = NULL;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = client_call(&c, "GET", l->path, NULL, &answer, err);
	if (r == 0 && l->json)
		r = listing_print_json(answer, err);
	else if (r == 0)
		r = print_table(l, json_object_get(answer, "models"), err);
	json_decref(answer);
	client_close(&c);
	return r;
}
