/*
 * What the files of src/policy share and nobody else includes: tokens, the
 * tables of names, sets of argument values, and the model of a policy that
 * compiled programs are compared with.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/diag.h"
#include "policy/policy.h"

#define POLICY_TEXT_MAX (256u << 10) /* bytes of one file */
#define POLICY_INSN_MAX 503          /* instructions of one program: a slot of ipc/filters.h */

/* ---- lex.c: text to tokens.  A statement is a line; a line that begins with a
 * blank continues the one before it; '#' starts a comment. ---- */
enum tok_kind {
	TOK_WORD,   /* names, numbers, N-M, @slot, file names */
	TOK_STRING, /* "..." on one line, without the quotes */
	TOK_PUNCT,  /* { } , & | == <= >= < > */
	TOK_EOL,
	TOK_EOF
};
struct tok {
	enum tok_kind kind;
	char text[200];
	unsigned int line, column;
};
struct lex {
	const char *p, *end, *line_start;
	unsigned int line;
	const char *file; /* borrowed: for diags */
	bool began;       /* a token of the present statement was given */
};
void lex_init(struct lex *lx, const char *text, size_t len, const char *file);
/* 0, or -1 with d: a character that has no place here, an endless string. */
int lex_next(struct lex *lx, struct tok *t, struct diag *d);

/* ---- names.c: words of the language ---- */
struct word {
	const char *name;
	uint64_t value;
};
extern const struct word policy_ns_words[], policy_need_words[], policy_account_words[],
    policy_limit_words[], policy_cap_words[], policy_fd_type_words[];
/* NULL if it is none of them. */
const struct word *word_find(const struct word *table, const char *name);
/* The entry most like name, for "did you mean"; NULL if none is near. */
const char *word_nearest(const struct word *table, const char *name);
/* Keeps the nearer one of best and candidate; *distance starts at UINT_MAX. */
const char *word_nearer(const char *best, const char *candidate, const char *name,
    unsigned int *distance);

/* ---- consts.c: SIGCHLD, PROT_EXEC, ...; false if unknown ---- */
bool const_find(const char *name, int64_t *value);
const char *const_nearest(const char *name);
/* errno by name or number, -1 if it is none */
int const_errno(const char *name);

/* ---- syscalls.c: system calls and their arguments by man-page names ---- */
enum arg_type {
	ARG_NONE,
	ARG_FD,   /* int, a descriptor */
	ARG_INT,
	ARG_UINT,
	ARG_PTR,
	ARG_WORD  /* size_t, long, off_t: all 64 bits count */
};
/* Numbers of a call, -1 where the architecture lacks it; false if neither knows it. */
bool call_numbers(const char *name, int *x86_64, int *aarch64);
/* Index 0..5 and type of a named argument; -1 if the call has none of that
 * name.  Calls that are not in the table have arg0..arg5, all 64 bits. */
int call_arg(const char *call, const char *arg, enum arg_type *type);
/* Name and type of argument i; NULL if there is none. */
const char *call_arg_name(const char *call, unsigned int i, enum arg_type *type);
/* "fd, buf, count" for hints. */
void call_args_text(const char *call, char *dst, size_t cap);
const char *call_nearest(const char *name);
/* The descriptor rights that a call uses: 'r', 'w', or 0. */
char call_fd_right(const char *call);
/* The name of a number; false if nobody knows it. */
bool call_name_of(int nr, enum policy_arch arch, char *dst, size_t cap);
/* Number in the table for calls that libseccomp may not know, else -1. */
int call_fixed_number(const char *name);

/* ---- cond.c: sets of argument values ---- */
struct range {
	uint64_t first, last;
};
/* Ranges of a comparison, in rising order and apart; -1 for PCMP_MASKED. */
int cond_ranges(const struct policy_cond *c, struct range r[POLICY_VALUES_MAX]);
bool cond_has(const struct policy_cond *c, uint64_t v);
uint64_t cond_mask(const struct policy_cond *c); /* PCMP_MASKED: with the upper half of an int */
/* Every value of a is in b (may say false where a mask makes it hard to tell). */
bool cond_subset(const struct policy_cond *a, const struct policy_cond *b);
/* No value is in both (same caution). */
bool cond_disjoint(const struct policy_cond *a, const struct policy_cond *b);
const struct policy_cond *rule_cond(const struct policy_rule *r, unsigned int arg);
/* All that a matches, b matches too. */
bool rule_subset(const struct policy_rule *a, const struct policy_rule *b);
bool rule_disjoint(const struct policy_rule *a, const struct policy_rule *b);
bool rule_matches(const struct policy_rule *r, const uint64_t args[POLICY_ARGS]);

/* ---- check.c: what parse.c cannot see statement by statement ---- */
int policy_check(const struct policy *p, struct diag *d);
const char *rule_file(const struct policy *p, const struct policy_rule *r);

/* ---- parse.c: each takes what it expects and goes on to the next token, or
 * fills the diag and returns -1 ---- */
struct parser {
	struct policy *p;
	struct lex lx;
	struct tok t; /* the token to look at */
	struct diag *d;
	const char *dir; /* of include; NULL: refused */
	unsigned int source;
	bool included;
	unsigned int *seen; /* line at which each once-only statement stood, 0: not yet */
	char *record;       /* not NULL: tokens that are passed are added here, */
	size_t record_cap;  /* cut at its capacity */
};
int parse_next(struct parser *ps);
int parse_error(struct parser *ps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool parse_is(const struct parser *ps, enum tok_kind kind, const char *text);
const char *parse_found(const struct parser *ps); /* what stands there, for messages */
int parse_word(struct parser *ps, const char *what, char *dst, size_t cap);
int parse_string(struct parser *ps, const char *what, char *dst, size_t cap);
int parse_of(struct parser *ps, const char *what, const struct word *table, uint64_t *value);
int parse_number(struct parser *ps, const char *what, uint64_t max, uint64_t *value); /* K M G */
int parse_keyword(struct parser *ps, const char *word);
int parse_need(struct parser *ps, enum layer_need *need);
int parse_why(struct parser *ps, char *dst, size_t cap); /* why "REASON" */

/* ---- parse_layers.c: one statement each, after its first word ---- */
int parse_st_follows(struct parser *ps);
int parse_st_within(struct parser *ps);
int parse_st_identity(struct parser *ps);
int parse_st_caps(struct parser *ps);
int parse_st_namespaces(struct parser *ps);
int parse_st_root(struct parser *ps);
int parse_st_landlock(struct parser *ps);
int parse_st_nesting(struct parser *ps);
int parse_st_oom_score(struct parser *ps);
int parse_st_mdwe(struct parser *ps);
int parse_st_seccomp(struct parser *ps);
int parse_st_memory(struct parser *ps);
int parse_st_limit(struct parser *ps);
int parse_st_fd(struct parser *ps);
int parse_st_default(struct parser *ps);
int parse_st_budget(struct parser *ps);

/* ---- parse_rule.c ---- */
int parse_rule(struct parser *ps, enum policy_action action);
int parse_errno(struct parser *ps, int *err);

/* ---- compile.c ---- */
#define POLICY_ALTERNATIVES_MAX 64
/* One comparison in libseccomp's sense. */
struct policy_alternative {
	const char *op; /* EQ LE LT GE GT MASKED_EQ */
	uint64_t a, b;
};
/* The comparisons of which a condition wants any one; their number, 0 if there
 * are too many. */
unsigned int policy_alternatives(const struct policy_cond *c,
    struct policy_alternative alt[POLICY_ALTERNATIVES_MAX]);
/* Length checked, fingerprint filled in. */
int policy_bpf_finish(const struct policy *p, struct policy_bpf *out, struct diag *d);

/* ---- diff.c (code.h has its instructions) ---- */
/* policy_compile_diff with `from` compiled already and the chain checked. */
int policy_diff_with(const struct policy *from, const struct policy_bpf *from_bpf,
    const struct policy *to, enum policy_arch arch, struct policy_bpf *out, struct diag *d);

/* ---- prove.c: comparing programs with texts ---- */
/* The stack of programs (oldest first) decides as the text of p does, for every
 * call number, each foreign architecture and every boundary value of each
 * argument that text or programs compare.  -1 with d where it does not. */
int policy_prove(const struct policy_bpf *const *stack, unsigned int n, const struct policy *p,
    enum policy_arch arch, struct diag *d);

#endif
