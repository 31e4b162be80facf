#include "login/session_rules.h"

void
session_rules_begin(struct session_rules *r, const struct rule_set *set,
    const struct conn_info *info)
{
	r->set = set;
	r->info = info;
	r->tuned = false;
	session_rules_name(r, "");
}

void
session_rules_name(struct session_rules *r, const char *name)
{
	uint64_t blocks = rule_set_match(r->set, r->info, name);

	r->tls = rule_set_having(r->set, blocks, RULES_TLS);
	if (rule_set_having(r->set, blocks, RULES_TLS & ~RULE_BIT(RULE_CERT)) != 0)
		r->tuned = true;
	rule_set_apply(r->set, blocks, &r->now);
	r->dialog = (struct dlg_settings){.greeting = r->now.login_greeting,
	    .imap_capability = r->now.imap_capability,
	    .imap_id_send = r->now.imap_id_send,
	    .imap_literal_minus = r->now.imap_literal_minus != 0,
	    .ssl_required = r->now.ssl == SSL_REQUIRED,
	    .plaintext_allowed = r->now.disable_plaintext_auth == 0};
}
