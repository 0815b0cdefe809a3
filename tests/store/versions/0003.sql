BEGIN TRANSACTION;
CREATE TABLE account (
	name TEXT NOT NULL, 
	password TEXT NOT NULL, 
	role TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	disabled_at BIGINT, 
	CONSTRAINT pk_account PRIMARY KEY (name), 
	CONSTRAINT ck_account_role CHECK (role in ('reviewer', 'lead'))
);
INSERT INTO "account" VALUES('王芳','p','lead',1,NULL);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE api_key (
	prefix TEXT NOT NULL, 
	name TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	scopes TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	revoked_at BIGINT, 
	used_day INTEGER, 
	CONSTRAINT pk_api_key PRIMARY KEY (prefix)
);
INSERT INTO "api_key" VALUES('abcd','helpdesk',X'68','classify',1,NULL,NULL,NULL);
CREATE TABLE callback (
	name TEXT NOT NULL, 
	last_event BIGINT NOT NULL, 
	CONSTRAINT pk_callback PRIMARY KEY (name)
);
INSERT INTO "callback" VALUES('crm',0);
CREATE TABLE daily_count (
	day INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	category TEXT NOT NULL, 
	n BIGINT NOT NULL, 
	CONSTRAINT pk_daily_count PRIMARY KEY (day, kind, category)
);
INSERT INTO "daily_count" VALUES(20261123,'pending','refund',1);
INSERT INTO "daily_count" VALUES(20261123,'accepted','parcel',1);
INSERT INTO "daily_count" VALUES(20261123,'probe','refund',1);
INSERT INTO "daily_count" VALUES(20261123,'pending','',1);
INSERT INTO "daily_count" VALUES(20261123,'pending','parcel',1);
CREATE TABLE delivery (
	id INTEGER NOT NULL, 
	callback TEXT NOT NULL, 
	event_id INTEGER NOT NULL, 
	ticket_id INTEGER NOT NULL, 
	body JSON NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at BIGINT, 
	held_until BIGINT, 
	status INTEGER, 
	delivered_at BIGINT, 
	CONSTRAINT pk_delivery PRIMARY KEY (id), 
	CONSTRAINT fk_delivery_callback_callback FOREIGN KEY(callback) REFERENCES callback (name), 
	CONSTRAINT fk_delivery_event_id_event FOREIGN KEY(event_id) REFERENCES event (id), 
	CONSTRAINT fk_delivery_ticket_id_ticket FOREIGN KEY(ticket_id) REFERENCES ticket (id), 
	CONSTRAINT uq_delivery_callback_event_id UNIQUE (callback, event_id)
);
INSERT INTO "delivery" VALUES(1,'crm',1,1,'{}',0,1,NULL,NULL,NULL);
CREATE TABLE erasure (
	id INTEGER NOT NULL, 
	subject BLOB NOT NULL, 
	event BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_erasure PRIMARY KEY (id)
);
INSERT INTO "erasure" VALUES(1,X'73',1,1);
CREATE TABLE event (
	id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	actor TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	subject_id INTEGER, 
	data JSON NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (id)
);
INSERT INTO "event" VALUES(1,1795404564951379,'run','outcome','ticket',1,'{"outcome":1}');
INSERT INTO "event" VALUES(2,1795404564951379,'run','outcome','ticket',2,'{"outcome":2}');
INSERT INTO "event" VALUES(3,1795404564958539,'run','probe','ticket',3,'{"outcome":3}');
INSERT INTO "event" VALUES(4,1795404564958539,'run','outcome','ticket',4,'{"outcome":4}');
INSERT INTO "event" VALUES(5,1795404564963514,'run','outcome','ticket',4,'{"outcome":5}');
CREATE TABLE example_member (
	set_name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	ticket_text_id INTEGER NOT NULL, 
	category TEXT NOT NULL, 
	CONSTRAINT pk_example_member PRIMARY KEY (set_name, position), 
	CONSTRAINT fk_example_member_set_name_example_set FOREIGN KEY(set_name) REFERENCES example_set (name), 
	CONSTRAINT fk_example_member_ticket_text_id_ticket_text FOREIGN KEY(ticket_text_id) REFERENCES ticket_text (id)
);
INSERT INTO "example_member" VALUES('一月',0,1,'parcel');
CREATE TABLE example_set (
	name TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_example_set PRIMARY KEY (name)
);
INSERT INTO "example_set" VALUES('一月','h',1);
CREATE TABLE idempotency (
	caller TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	request BLOB NOT NULL, 
	status INTEGER, 
	reply JSON, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (caller, "key")
);
INSERT INTO "idempotency" VALUES('abcd','k',X'72',NULL,NULL,1);
CREATE TABLE inbox (
	id INTEGER NOT NULL, 
	hook TEXT NOT NULL, 
	message TEXT NOT NULL, 
	source TEXT NOT NULL, 
	ticket_key TEXT, 
	ticket JSON, 
	received_at BIGINT NOT NULL, 
	next_at BIGINT, 
	done_at BIGINT, 
	CONSTRAINT pk_inbox PRIMARY KEY (id), 
	CONSTRAINT uq_inbox_hook_message UNIQUE (hook, message)
);
INSERT INTO "inbox" VALUES(1,'zendesk','m','','id:T5','{"title":"退款"}',1,1,NULL);
CREATE TABLE look (
	id INTEGER NOT NULL, 
	sample TEXT NOT NULL, 
	labels INTEGER NOT NULL, 
	alphas JSON NOT NULL, 
	delta FLOAT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_look PRIMARY KEY (id)
);
INSERT INTO "look" VALUES(1,'s',1,'[0.1]',0.05,1);
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('key','a18c5689bab59ec66cfa82832403e32d7322d735f9122d62fef7f0dd8c0515d9');
CREATE TABLE outcome (
	id INTEGER NOT NULL, 
	ticket_id INTEGER NOT NULL, 
	ticket_text_id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	run_key TEXT NOT NULL, 
	final BOOLEAN NOT NULL, 
	kind TEXT NOT NULL, 
	category TEXT, 
	team TEXT, 
	confidence FLOAT, 
	score FLOAT, 
	calibrated BOOLEAN NOT NULL, 
	reasons JSON NOT NULL, 
	candidates JSON NOT NULL, 
	probe FLOAT, 
	usage JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_outcome PRIMARY KEY (id), 
	CONSTRAINT ck_outcome_accepted_has_category CHECK (kind = 'pending' or category is not null), 
	CONSTRAINT ck_outcome_kind CHECK (kind in ('accepted', 'pending')), 
	CONSTRAINT ck_outcome_probe CHECK (probe is null or (probe > 0 and probe <= 1)), 
	CONSTRAINT fk_outcome_run_id_run FOREIGN KEY(run_id) REFERENCES run (id), 
	CONSTRAINT fk_outcome_ticket_id_ticket FOREIGN KEY(ticket_id) REFERENCES ticket (id), 
	CONSTRAINT fk_outcome_ticket_text_id_ticket_text FOREIGN KEY(ticket_text_id) REFERENCES ticket_text (id)
);
INSERT INTO "outcome" VALUES(1,1,1,'run-1','run-1',1,'pending','refund',NULL,NULL,0.4,0,'[["below_threshold",null]]','[]',NULL,'{}',1795404564951379);
INSERT INTO "outcome" VALUES(2,2,2,'run-1','run-1',1,'accepted','parcel','sales',NULL,0.9,0,'[]','[["parcel",0.9],["parcel",0.09999999999999998]]',NULL,'{}',1795404564951379);
INSERT INTO "outcome" VALUES(3,3,3,'run-1','run-1',1,'accepted','refund','sales',NULL,0.9,0,'[]','[["refund",0.9],["parcel",0.09999999999999998]]',0.02,'{}',1795404564958539);
INSERT INTO "outcome" VALUES(4,4,4,'run-1','run-1',0,'pending',NULL,NULL,NULL,0.4,0,'[["timeout",null]]','[]',NULL,'{}',1795404564958539);
INSERT INTO "outcome" VALUES(5,4,4,'run-1','run-1',1,'pending','parcel',NULL,NULL,0.4,0,'[["below_threshold",null]]','[]',NULL,'{}',1795404564963514);
CREATE TABLE "queue_entry" (
	id INTEGER NOT NULL, 
	outcome_id INTEGER, 
	ticket_id INTEGER NOT NULL, 
	ticket_text_id INTEGER NOT NULL, 
	lane TEXT NOT NULL, 
	sample TEXT, 
	blind BOOLEAN NOT NULL, 
	inclusion_p FLOAT, 
	state TEXT NOT NULL, 
	reasons TEXT NOT NULL, 
	category TEXT, 
	language TEXT, 
	rank FLOAT NOT NULL, 
	round INTEGER NOT NULL, 
	enqueued_at BIGINT NOT NULL, 
	lease_owner TEXT, 
	lease_until BIGINT, 
	lease_token INTEGER NOT NULL, 
	CONSTRAINT pk_queue_entry PRIMARY KEY (id), 
	CONSTRAINT uq_queue_entry_outcome_id_lane UNIQUE (outcome_id, lane), 
	CONSTRAINT fk_queue_entry_ticket_id_ticket FOREIGN KEY(ticket_id) REFERENCES ticket (id), 
	CONSTRAINT ck_queue_entry_state CHECK (state in ('open', 'done', 'withdrawn')), 
	CONSTRAINT ck_queue_entry_inclusion_p CHECK (inclusion_p is null or (inclusion_p > 0 and inclusion_p <= 1)), 
	CONSTRAINT fk_queue_entry_outcome_id_outcome FOREIGN KEY(outcome_id) REFERENCES outcome (id), 
	CONSTRAINT fk_queue_entry_ticket_text_id_ticket_text FOREIGN KEY(ticket_text_id) REFERENCES ticket_text (id), 
	CONSTRAINT uq_queue_entry_ticket_text_id_sample UNIQUE (ticket_text_id, sample), 
	CONSTRAINT ck_queue_entry_lane CHECK (lane in ('pending', 'probe', 'sample', 'second'))
);
INSERT INTO "queue_entry" VALUES(1,1,1,1,'pending',NULL,0,NULL,'done',' below_threshold ','refund','zh',-0.6,1,1795404564951379,NULL,NULL,0);
INSERT INTO "queue_entry" VALUES(2,3,3,3,'probe',NULL,1,0.02,'open',' probe ',NULL,NULL,-8.54101966249684707577e-01,1,1795404564958539,NULL,NULL,0);
INSERT INTO "queue_entry" VALUES(3,5,4,4,'pending',NULL,0,NULL,'open',' below_threshold ','parcel',NULL,-0.6,1,1795404564958539,NULL,NULL,1);
CREATE TABLE review (
	id INTEGER NOT NULL, 
	queue_entry_id INTEGER, 
	ticket_id INTEGER NOT NULL, 
	ticket_text_id INTEGER NOT NULL, 
	reviewer TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	category TEXT, 
	suggested TEXT, 
	suggestion_shown BOOLEAN NOT NULL, 
	lane TEXT NOT NULL, 
	inclusion_p FLOAT, 
	round INTEGER NOT NULL, 
	note TEXT, 
	active_ms INTEGER, 
	taxonomy TEXT NOT NULL, 
	retracts_id INTEGER, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_review PRIMARY KEY (id), 
	CONSTRAINT ck_review_answer_has_category CHECK (verdict = 'retract' or category is not null), 
	CONSTRAINT ck_review_verdict CHECK (verdict in ('confirm', 'correct', 'retract')), 
	CONSTRAINT fk_review_queue_entry_id_queue_entry FOREIGN KEY(queue_entry_id) REFERENCES queue_entry (id), 
	CONSTRAINT fk_review_retracts_id_review FOREIGN KEY(retracts_id) REFERENCES review (id), 
	CONSTRAINT fk_review_ticket_id_ticket FOREIGN KEY(ticket_id) REFERENCES ticket (id), 
	CONSTRAINT fk_review_ticket_text_id_ticket_text FOREIGN KEY(ticket_text_id) REFERENCES ticket_text (id), 
	CONSTRAINT uq_review_queue_entry_id_reviewer_round_verdict UNIQUE (queue_entry_id, reviewer, round, verdict), 
	CONSTRAINT uq_review_retracts_id UNIQUE (retracts_id)
);
INSERT INTO "review" VALUES(1,1,1,1,'王芳','correct','parcel','refund',1,'pending',NULL,1,'电话里说的',NULL,'t1',NULL,1);
CREATE TABLE run (
	id TEXT NOT NULL, 
	backend TEXT NOT NULL, 
	fingerprint JSON NOT NULL, 
	version TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	CONSTRAINT pk_run PRIMARY KEY (id)
);
INSERT INTO "run" VALUES('run-1','toy','{"backend":"toy","policy":"p1"}','0.1.0',1795404564951379);
CREATE TABLE session (
	hash BLOB NOT NULL, 
	reviewer TEXT NOT NULL, 
	role TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	seen_at BIGINT NOT NULL, 
	CONSTRAINT pk_session PRIMARY KEY (hash)
);
INSERT INTO "session" VALUES(X'73','王芳','lead',1,1);
CREATE TABLE skip (
	queue_entry_id INTEGER NOT NULL, 
	reviewer TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_skip PRIMARY KEY (queue_entry_id, reviewer), 
	CONSTRAINT fk_skip_queue_entry_id_queue_entry FOREIGN KEY(queue_entry_id) REFERENCES queue_entry (id)
);
INSERT INTO "skip" VALUES(2,'王芳',1);
CREATE TABLE ticket (
	id INTEGER NOT NULL, 
	source TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	external_id TEXT, 
	channel TEXT, 
	language TEXT, 
	customer TEXT, 
	metadata JSON NOT NULL, 
	received_at BIGINT NOT NULL, 
	erased_at BIGINT, 
	CONSTRAINT pk_ticket PRIMARY KEY (id), 
	CONSTRAINT uq_ticket_source_key UNIQUE (source, "key")
);
INSERT INTO "ticket" VALUES(1,'','id:T1','T1','chat','zh','李雷','{"订单":"A-17"}',1795404564951379,NULL);
INSERT INTO "ticket" VALUES(2,'','id:T2','T2',NULL,NULL,NULL,'{}',1795404564951379,NULL);
INSERT INTO "ticket" VALUES(3,'','id:T3','T3',NULL,NULL,NULL,'{}',1795404564958539,NULL);
INSERT INTO "ticket" VALUES(4,'','id:T4','T4',NULL,NULL,NULL,'{}',1795404564958539,NULL);
CREATE TABLE ticket_text (
	id INTEGER NOT NULL, 
	ticket_id INTEGER NOT NULL, 
	title TEXT, 
	content TEXT, 
	hmac BLOB, 
	kept TEXT NOT NULL, 
	received_at BIGINT NOT NULL, costly BOOLEAN DEFAULT 1 NOT NULL, 
	CONSTRAINT pk_ticket_text PRIMARY KEY (id), 
	CONSTRAINT ck_ticket_text_kept CHECK (kept in ('original', 'redacted', 'none')), 
	CONSTRAINT fk_ticket_text_ticket_id_ticket FOREIGN KEY(ticket_id) REFERENCES ticket (id), 
	CONSTRAINT uq_ticket_text_ticket_id_hmac UNIQUE (ticket_id, hmac)
);
INSERT INTO "ticket_text" VALUES(1,1,'退款','我的耳机还没有退款',X'ED584BF7208625249E02D3146B80818A','original',1795404564951379,1);
INSERT INTO "ticket_text" VALUES(2,2,'','where is my parcel',X'D8CB087C27DD30749EA2EB6F85B28CBE','original',1795404564951379,1);
INSERT INTO "ticket_text" VALUES(3,3,'','drawn',X'23E69B50862639C99AA2740984E542F0','original',1795404564958539,1);
INSERT INTO "ticket_text" VALUES(4,4,'','second',X'270F6DDED9E689421BB42ACA63950675','original',1795404564958539,1);
CREATE INDEX ix_look_sample ON look (sample);
CREATE INDEX ix_ticket_external_id ON ticket (external_id);
CREATE INDEX ix_outcome_ticket_id_id ON outcome (ticket_id, id);
CREATE UNIQUE INDEX uq_outcome_ticket_text_id_run_key ON outcome (ticket_text_id, run_key) WHERE final;
CREATE INDEX ix_review_reviewer_id ON review (reviewer, id);
CREATE INDEX ix_review_ticket_id ON review (ticket_id);
CREATE INDEX ix_review_ticket_text_id ON review (ticket_text_id);
CREATE TRIGGER event_no_update before update on event begin select raise(abort, 'the event log only grows'); end;
CREATE TRIGGER event_no_delete before delete on event begin select raise(abort, 'the event log only grows'); end;
CREATE INDEX ix_erasure_event ON erasure (event);
CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);
CREATE INDEX ix_inbox_done_at ON inbox (done_at);
CREATE INDEX ix_inbox_due ON inbox (source, next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX ix_inbox_ticket ON inbox (ticket_key, id) WHERE next_at IS NOT NULL;
CREATE INDEX ix_session_reviewer ON session (reviewer);
CREATE INDEX ix_delivery_ticket_id ON delivery (ticket_id);
CREATE INDEX ix_delivery_delivered_at ON delivery (delivered_at);
CREATE INDEX ix_delivery_due ON delivery (callback, next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX ix_queue_entry_open_lane ON queue_entry (lane, id) WHERE state = 'open';
CREATE INDEX ix_queue_entry_open_category ON queue_entry (category, id) WHERE state = 'open';
CREATE INDEX ix_queue_entry_open ON queue_entry (id) WHERE state = 'open';
CREATE INDEX ix_queue_entry_open_rank ON queue_entry (rank, id) WHERE state = 'open';
CREATE INDEX ix_queue_entry_ticket_id ON queue_entry (ticket_id);
CREATE INDEX ix_ticket_text_costly ON ticket_text (hmac) WHERE costly;
CREATE INDEX ix_ticket_customer ON ticket (customer) WHERE customer IS NOT NULL;
COMMIT;
