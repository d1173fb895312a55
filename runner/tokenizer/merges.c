/*
 * Byte-pair merging: the table of ranked pairs, and the merging of one piece of text by
 * a heap over a linked list of symbols. Read-only once built; then any thread.
 */
#include <stdlib.h>
#include <string.h>

#include "runner/tokenizer/merges.h"

struct rule {
	uint32_t left, right;
	uint32_t rank, result;
	bool used;
};

struct merges {
	struct rule *slots;
	size_t n_slots;                         /* a power of two */
	uint32_t n_rules;
};

static size_t hash_pair(uint32_t left, uint32_t right)
{
	uint64_t h = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 29);
}

struct merges *merges_create(size_t n_expected)
{
	struct merges *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->n_slots = 64;
	while (m->n_slots / 2 < n_expected)
		m->n_slots *= 2;
	m->slots = calloc(m->n_slots, sizeof *m->slots);
	if (!m->slots) {
		free(m);
		return NULL;
	}
	return m;
}

void merges_free(struct merges *m)
{
	if (m)
		free(m->slots);
	free(m);
}

static struct rule *slot_of(const struct merges *m, uint32_t left, uint32_t right)
{
	size_t i = hash_pair(left, right) & (m->n_slots - 1);

	for (;; i = (i + 1) & (m->n_slots - 1)) {
		struct rule *r = &m->slots[i];

		if (!r->used || (r->left == left && r->right == right))
			return r;
	}
}

static bool grow(struct merges *m)
{
	struct merges bigger = { .n_slots = m->n_slots * 2 };
	size_t i;

	bigger.slots = calloc(bigger.n_slots, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	for (i = 0; i < m->n_slots; i++) {
		struct rule *r = &m->slots[i];

		if (r->used)
			*slot_of(&bigger, r->left, r->right) = *r;
	}
	free(m->slots);
	m->slots = bigger.slots;
	m->n_slots = bigger.n_slots;
	return true;
}

bool merges_add(struct merges *m, uint32_t left, uint32_t right, uint32_t result)
{
	struct rule *r;

	if (m->n_rules >= m->n_slots / 2 && !grow(m))
		return false;
	r = slot_of(m, left, right);
	if (!r->used)
		*r = (struct rule){ left, right, m->n_rules, result, true };
	m->n_rules++;
	return true;
}

static const struct rule *find(const struct merges *m, uint32_t left, uint32_t right)
{
	const struct rule *r = slot_of(m, left, right);

	return r->used ? r : NULL;
}

/* ---- merging one piece ---- */

enum { NONE = UINT32_MAX };

struct symbol {
	uint32_t id;                            /* NONE: joined to the left */
	uint32_t prev, next;                    /* indices, NONE at the ends */
};

/* A pair that may be joined: (rank, position) as one number, so that order is one compare. */
typedef uint64_t candidate;

struct heap {
	candidate *items;                       /* smallest first */
	size_t n;
};

static void heap_push(struct heap *h, candidate c)
{
	size_t i = h->n++;

	while (i > 0 && h->items[(i - 1) / 2] > c) {
		h->items[i] = h->items[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h->items[i] = c;
}

static candidate heap_pop(struct heap *h)
{
	candidate top = h->items[0], last = h->items[--h->n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < h->n) {
		if (child + 1 < h->n && h->items[child + 1] < h->items[child])
			child++;
		if (last <= h->items[child])
			break;
		h->items[i] = h->items[child];
		i = child;
	}
	h->items[i] = last;
	return top;
}

struct piece {
	const struct merges *merges;
	struct symbol *symbols;
	struct heap heap;
};

static const struct rule *rule_at(const struct piece *p, uint32_t at)
{
	const struct symbol *left = &p->symbols[at];

	if (left->id == NONE || left->next == NONE)
		return NULL;
	return find(p->merges, left->id, p->symbols[left->next].id);
}

static void offer(struct piece *p, uint32_t at)
{
	const struct rule *r = at == NONE ? NULL : rule_at(p, at);

	if (r)
		heap_push(&p->heap, (candidate)r->rank << 32 | at);
}

static void join(struct piece *p, uint32_t at, uint32_t result)
{
	struct symbol *left = &p->symbols[at];
	struct symbol *right = &p->symbols[left->next];

	left->id = result;
	left->next = right->next;
	right->id = NONE;
	if (left->next != NONE)
		p->symbols[left->next].prev = at;
	offer(p, left->prev);
	offer(p, at);
}

static void join_all(struct piece *p)
{
	while (p->heap.n > 0) {
		candidate c = heap_pop(&p->heap);
		uint32_t at = (uint32_t)c;
		const struct rule *r = rule_at(p, at);

		/* Stale when one of the two was joined with something else since. */
		if (r && r->rank == c >> 32)
			join(p, at, r->result);
	}
}

size_t merges_apply(const struct merges *m, uint32_t *ids, size_t n)
{
	struct piece p = { .merges = m };
	size_t i, kept = 0;

	if (n < 2 || n >= NONE)
		return n < 2 ? n : SIZE_MAX;
	p.symbols = calloc(n, sizeof *p.symbols);
	p.heap.items = calloc(n, 2 * sizeof *p.heap.items);     /* a join takes one, adds two */
	if (!p.symbols || !p.heap.items) {
		free(p.symbols);
		free(p.heap.items);
		return SIZE_MAX;
	}
	for (i = 0; i < n; i++)
		p.symbols[i] = (struct symbol){
			.id = ids[i], .prev = i ? (uint32_t)i - 1 : NONE,
			.next = i + 1 < n ? (uint32_t)i + 1 : NONE,
		};
	for (i = 0; i + 1 < n; i++)
		offer(&p, (uint32_t)i);
	join_all(&p);
	for (i = 0; i < n; i++)
		if (p.symbols[i].id != NONE)
			ids[kept++] = p.symbols[i].id;
	free(p.symbols);
	free(p.heap.items);
	return kept;
}
