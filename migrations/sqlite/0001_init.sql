-- The books and the settings of a gateway.
--
-- Units: _cc hundredths of a credit, _pd pico-dollars (10^-12 USD), _us microseconds since 1970 UTC.
-- Ids made by the gateway are UUIDs of 16 bytes. Every foreign key inside an organization carries
-- the organization, so that nothing of one can point at something of another.
--
-- What the database itself refuses, whatever the program does: overdrawing an account; a hold that
-- is not backed; an illegal, skipped, forked or repeated stage; a second live attempt under a
-- request id; ending a hold twice or for another amount; a charge without a settled generation; a
-- refund above its charge; a gap, a fork or a wrong balance in the ledger; a gap or a fork in an audit
-- trail; ending a key twice; changing or deleting what is history.

CREATE TABLE organization (
  id         TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
  name       TEXT NOT NULL,
  created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One hot row per organization: all that the decision about a hold needs.
CREATE TABLE balance (
  organization TEXT PRIMARY KEY REFERENCES organization (id),
  posted_cc    INTEGER NOT NULL CHECK (posted_cc BETWEEN 0 AND 9000000000000000),
  held_cc      INTEGER NOT NULL CHECK (held_cc >= 0),
  debt_cc      INTEGER NOT NULL CHECK (debt_cc >= 0),
  seq          INTEGER NOT NULL CHECK (seq >= 0),
  head         BLOB NOT NULL CHECK (length(head) = 32),
  CHECK (held_cc <= posted_cc),
  FOREIGN KEY (organization, seq, head, posted_cc, debt_cc)
    REFERENCES ledger (organization, seq, hash, posted_after_cc, debt_after_cc)
    DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
  id           BLOB PRIMARY KEY CHECK (length(id) = 16),
  organization TEXT NOT NULL REFERENCES organization (id),
  name         TEXT NOT NULL,
  prefix       TEXT NOT NULL UNIQUE CHECK (length(prefix) BETWEEN 8 AND 24),
  -- The hash, and the name of what it is keyed with.
  mac          BLOB NOT NULL CHECK (length(mac) = 32),
  pepper       BLOB NOT NULL CHECK (length(pepper) = 8),
  role         TEXT NOT NULL CHECK (role IN ('runtime', 'admin', 'owner')),
  created_us   INTEGER NOT NULL,
  expires_us   INTEGER,
  last_used_us INTEGER,
  revoked_us   INTEGER,
  UNIQUE (organization, id, prefix)
) STRICT, WITHOUT ROWID;

-- Who changed what. Chains like the ledger's: one per organization, and the platform's for what is
-- done for all; each row with the hash of the row before. Written in the transaction of the change.
CREATE TABLE audit_entry (
  -- Whose: the id of an organization; the platform's is ''.
  trail        TEXT NOT NULL,
  seq          INTEGER NOT NULL CHECK (seq >= 0),
  prev_seq     INTEGER,
  action       TEXT NOT NULL CHECK (action IN ('organization_created', 'api_key_created', 'api_key_revoked', 'tool_created',
    'tool_updated', 'tool_deleted', 'model_availability_changed', 'credits_added', 'openrouter_key_set',
    'openrouter_key_deleted', 'openrouter_key_status_changed', 'openrouter_key_given_up', 'models_synced',
    'price_confirmed', 'encryption_key_replaced', 'operator_key_changed')),
  -- The operator, the gateway by itself, or whoever has a key of the organization.
  actor_kind   TEXT NOT NULL CHECK (actor_kind IN ('operator', 'gateway', 'key')),
  -- That key. Its prefix is what people know it by.
  actor        BLOB,
  actor_prefix TEXT,
  subject      TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
  -- What is different, as JSON: at most 12 fields, values of at most 217 characters.
  changes      TEXT NOT NULL CHECK (json_valid(changes) AND length(changes) <= 16000),
  at_us        INTEGER NOT NULL,
  prev_hash    BLOB,
  hash         BLOB NOT NULL CHECK (length(hash) = 32),
  -- So that an organization's points at one, and the platform's at none.
  organization TEXT GENERATED ALWAYS AS (nullif(trail, '')) STORED REFERENCES organization (id),
  PRIMARY KEY (trail, seq),
  UNIQUE (trail, seq, hash),
  CHECK (trail = '' OR (seq = 0) = (action = 'organization_created')),
  CHECK (action = 'organization_created'
      OR (trail = '') = (action IN ('models_synced', 'price_confirmed', 'encryption_key_replaced', 'operator_key_changed'))),
  CHECK ((seq = 0) = (prev_seq IS NULL)),
  CHECK (seq = 0 OR (seq = prev_seq + 1 AND prev_hash IS NOT NULL)),
  CHECK ((actor_kind = 'key') = (actor IS NOT NULL)),
  CHECK ((actor IS NULL) = (actor_prefix IS NULL)),
  CHECK (trail <> '' OR actor IS NULL),
  FOREIGN KEY (organization, actor, actor_prefix) REFERENCES api_key (organization, id, prefix),
  FOREIGN KEY (trail, prev_seq, prev_hash) REFERENCES audit_entry (trail, seq, hash)
) STRICT, WITHOUT ROWID;

-- Organizations' own OpenRouter keys, sealed: the key-encryption key is not in the database. Of a key
-- that has ended nothing is left here that could be opened; the write-ahead log keeps what was here
-- until it has been copied and written over, at the latest when the gateway stops.
CREATE TABLE openrouter_key (
  id           BLOB PRIMARY KEY CHECK (length(id) = 16),
  organization TEXT NOT NULL REFERENCES organization (id),
  -- What generations name it by.
  fingerprint  TEXT NOT NULL CHECK (length(fingerprint) = 16),
  masked       TEXT NOT NULL CHECK (length(masked) BETWEEN 1 AND 20),
  -- The name of the key-encryption key; the data key under it; the key under the data key.
  kek          BLOB CHECK (length(kek) = 8),
  wrapped      BLOB CHECK (length(wrapped) = 72),
  sealed       BLOB CHECK (length(sealed) BETWEEN 41 AND 1024),
  -- Confirmed refusals since it was last taken; with two it is invalid.
  refusals     INTEGER NOT NULL CHECK (refusals BETWEEN 0 AND 2),
  created_us   INTEGER NOT NULL,
  checked_us   INTEGER NOT NULL,
  ended_us     INTEGER CHECK (ended_us >= created_us),
  -- When it was given up, because nothing opens it any more: it must be set once more, or deleted.
  lost_us      INTEGER CHECK (lost_us >= created_us),
  CHECK ((coalesce(ended_us, lost_us) IS NULL) = (kek IS NOT NULL)),
  CHECK ((coalesce(ended_us, lost_us) IS NULL) = (wrapped IS NOT NULL)),
  CHECK ((coalesce(ended_us, lost_us) IS NULL) = (sealed IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX openrouter_key_one ON openrouter_key (organization) WHERE ended_us IS NULL;

-- What API keys were hashed with before the key-encryption key was replaced: they still open.
CREATE TABLE pepper (
  id      BLOB PRIMARY KEY CHECK (length(id) = 8),
  -- Nothing, if it was given up: no key that was hashed with it ever opens again.
  kek     BLOB CHECK (length(kek) = 8),
  wrapped BLOB CHECK (length(wrapped) = 72),
  sealed  BLOB CHECK (length(sealed) = 72),
  CHECK ((kek IS NULL) = (wrapped IS NULL) AND (kek IS NULL) = (sealed IS NULL))
) STRICT, WITHOUT ROWID;

-- What the operator's key is named by, and by what that name is keyed; no row, if there is no key.
CREATE TABLE operator_key (
  one    INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
  pepper BLOB NOT NULL CHECK (length(pepper) = 8),
  name   BLOB NOT NULL CHECK (length(name) = 8)
) STRICT;

CREATE TABLE tool (
  organization            TEXT NOT NULL REFERENCES organization (id),
  agent                   TEXT NOT NULL CHECK (length(agent) BETWEEN 1 AND 128),
  enabled                 INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  model                   TEXT,
  default_aspect_ratio    TEXT NOT NULL,
  default_resolution      TEXT NOT NULL,
  max_resolution          TEXT NOT NULL,
  allowed_aspect_ratios   TEXT NOT NULL,
  quality                 TEXT,
  max_images_per_call     INTEGER NOT NULL CHECK (max_images_per_call BETWEEN 1 AND 4),
  daily_image_limit       INTEGER NOT NULL CHECK (daily_image_limit >= 0),
  monthly_credit_limit_cc INTEGER CHECK (monthly_credit_limit_cc >= 0),
  allow_reference_images  INTEGER NOT NULL CHECK (allow_reference_images IN (0, 1)),
  when_to_use             TEXT NOT NULL,
  created_us              INTEGER NOT NULL,
  updated_us              INTEGER NOT NULL,
  PRIMARY KEY (organization, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX tool_by_model ON tool (organization, model, agent) WHERE model IS NOT NULL;

-- Models that an organization has switched off; all others are available.
CREATE TABLE model_off (
  organization TEXT NOT NULL REFERENCES organization (id),
  model        TEXT NOT NULL,
  PRIMARY KEY (organization, model)
) STRICT, WITHOUT ROWID;

-- Every model ever listed by OpenRouter, in its own words.
CREATE TABLE model (
  slug             TEXT PRIMARY KEY CHECK (length(slug) BETWEEN 1 AND 128),
  listed           TEXT NOT NULL CHECK (json_valid(listed)),
  withdrawn_us     INTEGER,
  price_changed_us INTEGER,
  -- How it was listed before a price that is hard to believe, and since when.
  doubted          TEXT CHECK (json_valid(doubted)),
  doubted_us       INTEGER,
  CHECK ((doubted IS NULL) = (doubted_us IS NULL))
) STRICT, WITHOUT ROWID;

-- When OpenRouter's lists were last read; no row before that.
CREATE TABLE price_list (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  read_us INTEGER NOT NULL
) STRICT;

-- What a price was, and is since, as decimals in USD, one row for each price of a model that moved.
CREATE TABLE price_change (
  at_us   INTEGER NOT NULL,
  model   TEXT NOT NULL REFERENCES model (slug),
  -- Which: '1K' and the other sizes, for a picture; '1K at most', at the dearest that is listed;
  -- 'reference', for a picture; 'prompt' and 'text', for a token.
  price   TEXT NOT NULL,
  before  TEXT NOT NULL,
  after   TEXT NOT NULL,
  flagged INTEGER NOT NULL CHECK (flagged IN (0, 1)),
  PRIMARY KEY (at_us, model, price)
) STRICT, WITHOUT ROWID;
CREATE INDEX price_change_of ON price_change (model, at_us, price);

-- What is fixed when a generation begins. Also the record by which a repeated request is known.
CREATE TABLE generation (
  id           BLOB PRIMARY KEY CHECK (length(id) = 16),
  organization TEXT NOT NULL REFERENCES organization (id),
  request_id   TEXT NOT NULL CHECK (length(request_id) BETWEEN 1 AND 255),
  attempt      INTEGER NOT NULL CHECK (attempt BETWEEN 1 AND 5),
  fingerprint  BLOB NOT NULL CHECK (length(fingerprint) = 32),
  agent        TEXT NOT NULL,
  model        TEXT NOT NULL,
  channel      TEXT NOT NULL,
  origin       TEXT NOT NULL CHECK (origin IN ('live', 'test')),
  user         TEXT NOT NULL,
  key_mode     TEXT NOT NULL CHECK (key_mode IN ('platform', 'organization')),
  requested    INTEGER NOT NULL CHECK (requested BETWEEN 1 AND 10),
  -- The fingerprint of the key that pays upstream: bills are joined by it.
  upstream_key TEXT NOT NULL,
  created_us   INTEGER NOT NULL,
  deadline_us  INTEGER NOT NULL CHECK (deadline_us > created_us),
  -- The rest as JSON: shown, never searched.
  details      TEXT NOT NULL CHECK (json_valid(details)),
  UNIQUE (organization, request_id, attempt),
  UNIQUE (id, organization),
  UNIQUE (id, organization, request_id, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX generation_by_agent ON generation (organization, agent, created_us);
-- The newest of an organization come first without sorting, of whatever period.
CREATE INDEX generation_by_time ON generation (organization, created_us);

CREATE TABLE transition (
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
) STRICT, WITHOUT ROWID;
INSERT INTO transition VALUES
  ('none', 'held'),
  ('held', 'dispatched'), ('held', 'voided'),
  ('dispatched', 'streaming'), ('dispatched', 'stored'), ('dispatched', 'voided'), ('dispatched', 'in_doubt'),
  ('streaming', 'stored'), ('streaming', 'voided'), ('streaming', 'in_doubt'),
  ('stored', 'settled'),
  ('in_doubt', 'voided'), ('in_doubt', 'stored'), ('in_doubt', 'review'),
  ('review', 'voided'), ('review', 'settled');

-- History. The primary key lets one writer win a version; the foreign key to the row before makes
-- a skipped or forked history impossible.
CREATE TABLE generation_event (
  generation   BLOB NOT NULL REFERENCES generation (id),
  version      INTEGER NOT NULL CHECK (version >= 0),
  prev_version INTEGER,
  from_state   TEXT NOT NULL,
  to_state     TEXT NOT NULL,
  at_us        INTEGER NOT NULL,
  PRIMARY KEY (generation, version),
  UNIQUE (generation, version, to_state),
  CHECK ((version = 0 AND prev_version IS NULL AND from_state = 'none')
      OR (prev_version IS NOT NULL AND version = prev_version + 1)),
  FOREIGN KEY (from_state, to_state) REFERENCES transition (from_state, to_state),
  FOREIGN KEY (generation, prev_version, from_state) REFERENCES generation_event (generation, version, to_state)
) STRICT, WITHOUT ROWID;

-- Where each generation stands, and what is known of it so far.
CREATE TABLE generation_state (
  generation   BLOB PRIMARY KEY,
  organization TEXT NOT NULL,
  request_id   TEXT NOT NULL,
  agent        TEXT NOT NULL,
  version      INTEGER NOT NULL,
  state        TEXT NOT NULL,
  delivered    INTEGER CHECK (delivered BETWEEN 0 AND 40),
  charged_images INTEGER CHECK (charged_images BETWEEN 0 AND 10),
  cost_pd      INTEGER CHECK (cost_pd BETWEEN 0 AND 1000000000000000000),
  cost_source  TEXT CHECK (cost_source IN ('usage', 'lookup', 'computed', 'estimate')),
  charge_cc    INTEGER CHECK (charge_cc >= 0),
  balance_after_cc INTEGER,
  -- Claimed by upstream and not believed: what reconciliation looks at.
  disputed_pd  INTEGER CHECK (disputed_pd >= 0),
  reason       TEXT,
  finished_us  INTEGER,
  -- Text, adjustments and failure as JSON: shown, never searched.
  details      TEXT CHECK (details IS NULL OR json_valid(details)),
  FOREIGN KEY (generation, organization, request_id, agent) REFERENCES generation (id, organization, request_id, agent),
  FOREIGN KEY (generation, version, state) REFERENCES generation_event (generation, version, to_state),
  CHECK ((cost_pd IS NULL) = (cost_source IS NULL)),
  CHECK (state NOT IN ('stored', 'settled') OR delivered >= 1),
  CHECK (state <> 'settled' OR cost_pd IS NOT NULL),
  CHECK ((state = 'settled') = (charge_cc IS NOT NULL)),
  -- The reason is known as soon as it is clear that no image comes.
  CHECK ((state IN ('voided', 'in_doubt', 'review')) = (reason IS NOT NULL)),
  CHECK ((state IN ('settled', 'voided')) = (finished_us IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX generation_live ON generation_state (organization, request_id) WHERE state <> 'voided';
CREATE INDEX generation_open ON generation_state (state) WHERE state NOT IN ('settled', 'voided');
-- Limits count what an agent has under way, which has no end yet, and what it has ended in a period.
CREATE INDEX generation_by_agent_end ON generation_state (organization, agent, finished_us);
-- Sums over a period read that period of one organization.
CREATE INDEX generation_by_end ON generation_state (organization, finished_us) WHERE finished_us IS NOT NULL;

-- What settled generations cost that the platform paid for and that had no reference pictures, whose
-- cost is beside the kind: the newest of each kind tell what a picture costs lately.
CREATE TABLE actual (
  model       TEXT NOT NULL,
  resolution  TEXT NOT NULL,
  quality     TEXT NOT NULL,
  finished_us INTEGER NOT NULL,
  generation  BLOB NOT NULL UNIQUE REFERENCES generation (id),
  cost_pd     INTEGER NOT NULL CHECK (cost_pd >= 0),
  images      INTEGER NOT NULL CHECK (images BETWEEN 1 AND 10),
  PRIMARY KEY (model, resolution, quality, finished_us, generation)
) STRICT, WITHOUT ROWID;

-- Noted when an answer begins: the name by which OpenRouter can be asked about it.
CREATE TABLE upstream_call (
  generation  BLOB NOT NULL REFERENCES generation (id),
  call        INTEGER NOT NULL CHECK (call BETWEEN 0 AND 9),
  upstream_id TEXT NOT NULL CHECK (length(upstream_id) BETWEEN 1 AND 128),
  PRIMARY KEY (generation, call)
) STRICT, WITHOUT ROWID;

-- A name is one call's alone.
CREATE UNIQUE INDEX upstream_call_once ON upstream_call (upstream_id);

-- Noted when a call is over: what it brought and cost, as far as it was told. The audit computes
-- what was charged from these rows again.
CREATE TABLE call_receipt (
  generation        BLOB NOT NULL REFERENCES generation (id),
  call              INTEGER NOT NULL CHECK (call BETWEEN 0 AND 9),
  upstream_id       TEXT CHECK (length(upstream_id) BETWEEN 1 AND 128),
  -- The places of its images, as a JSON list.
  images            TEXT NOT NULL CHECK (json_valid(images)),
  cost_pd           INTEGER CHECK (cost_pd BETWEEN 0 AND 1000000000000000000),
  cost_source       TEXT CHECK (cost_source IN ('usage', 'lookup')),
  prompt_tokens     INTEGER,
  completion_tokens INTEGER,
  text              TEXT NOT NULL,
  unbilled          INTEGER NOT NULL CHECK (unbilled IN (0, 1)),
  PRIMARY KEY (generation, call),
  CHECK ((cost_pd IS NULL) = (cost_source IS NULL))
) STRICT, WITHOUT ROWID;

-- Questions to OpenRouter about calls whose bill is not known; open while there is a next time.
CREATE TABLE question (
  generation  BLOB NOT NULL REFERENCES generation (id),
  call        INTEGER NOT NULL CHECK (call BETWEEN 0 AND 9),
  upstream_id TEXT NOT NULL CHECK (length(upstream_id) BETWEEN 1 AND 128),
  asked       INTEGER NOT NULL CHECK (asked >= 0),
  next_us     INTEGER,
  answer      TEXT CHECK (answer IN ('told', 'contradicted', 'given_up')),
  cost_pd     INTEGER CHECK (cost_pd BETWEEN 0 AND 1000000000000000000),
  PRIMARY KEY (generation, call),
  CHECK ((next_us IS NULL) = (answer IS NOT NULL)),
  CHECK ((answer IS 'told') = (cost_pd IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX question_due ON question (next_us) WHERE next_us IS NOT NULL;

-- What OpenRouter's records say that a call cost, where its own answer had said something else.
CREATE TABLE disagreement (
  generation BLOB NOT NULL,
  call       INTEGER NOT NULL,
  cost_pd    INTEGER NOT NULL CHECK (cost_pd BETWEEN 0 AND 1000000000000000000),
  at_us      INTEGER NOT NULL,
  PRIMARY KEY (generation, call),
  FOREIGN KEY (generation, call) REFERENCES call_receipt (generation, call)
) STRICT, WITHOUT ROWID;

-- Up to which generation costs that were told have been asked for again; no row before the first.
CREATE TABLE cost_check (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  through BLOB NOT NULL REFERENCES generation (id)
) STRICT;

-- What upstream billed for nothing a customer got: the platform's loss, item by item.
CREATE TABLE absorption (
  generation BLOB NOT NULL REFERENCES generation (id),
  call       INTEGER NOT NULL CHECK (call BETWEEN 0 AND 9),
  cost_pd    INTEGER NOT NULL CHECK (cost_pd BETWEEN 1 AND 1000000000000000000),
  -- no_image: the call brought none; above_charge: it cost more than could be known when its
  -- images were charged.
  why        TEXT NOT NULL CHECK (why IN ('no_image', 'above_charge')),
  at_us      INTEGER NOT NULL,
  PRIMARY KEY (generation, call)
) STRICT, WITHOUT ROWID;

-- What an organization's own key was billed is the organization's.
CREATE TRIGGER absorption_by_platform BEFORE INSERT ON absorption
  WHEN EXISTS (SELECT 1 FROM generation g WHERE g.id = NEW.generation AND g.key_mode = 'organization')
  BEGIN SELECT RAISE(ABORT, 'the platform bears what its own key was billed'); END;

-- The cost as told later, where it is lower than the one that was charged, and what came back.
CREATE TABLE correction (
  generation BLOB PRIMARY KEY REFERENCES generation (id),
  cost_pd    INTEGER NOT NULL CHECK (cost_pd >= 0),
  refund_cc  INTEGER NOT NULL CHECK (refund_cc >= 0),
  at_us      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Generations whose images are no longer kept; their record and their charge stay.
CREATE TABLE expiry (
  generation BLOB PRIMARY KEY REFERENCES generation (id),
  at_us      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE image (
  generation  BLOB NOT NULL REFERENCES generation (id),
  -- Four calls bring ten each at most; what is beyond that is nobody's wish and nobody's charge.
  idx         INTEGER NOT NULL CHECK (idx BETWEEN 0 AND 39),
  sha256      BLOB NOT NULL CHECK (length(sha256) = 32),
  media_type  TEXT NOT NULL CHECK (media_type IN ('image/png', 'image/jpeg', 'image/webp')),
  width       INTEGER NOT NULL CHECK (width BETWEEN 1 AND 16384),
  height      INTEGER NOT NULL CHECK (height BETWEEN 1 AND 16384),
  size_bytes  INTEGER NOT NULL CHECK (size_bytes BETWEEN 1 AND 67108864),
  object_name TEXT NOT NULL UNIQUE,
  PRIMARY KEY (generation, idx)
) STRICT, WITHOUT ROWID;

-- Open as long as there is no resolution.
CREATE TABLE hold (
  generation   BLOB PRIMARY KEY,
  organization TEXT NOT NULL,
  amount_cc    INTEGER NOT NULL CHECK (amount_cc > 0),
  FOREIGN KEY (generation, organization) REFERENCES generation (id, organization),
  UNIQUE (generation, organization, amount_cc)
) STRICT, WITHOUT ROWID;
CREATE TABLE hold_resolution (
  generation   BLOB PRIMARY KEY,
  organization TEXT NOT NULL,
  amount_cc    INTEGER NOT NULL,
  outcome      TEXT NOT NULL CHECK (outcome IN ('posted', 'voided')),
  version      INTEGER NOT NULL,
  state        TEXT NOT NULL CHECK ((outcome = 'posted' AND state = 'settled') OR (outcome = 'voided' AND state = 'voided')),
  FOREIGN KEY (generation, organization, amount_cc) REFERENCES hold (generation, organization, amount_cc),
  FOREIGN KEY (generation, version, state) REFERENCES generation_event (generation, version, to_state)
) STRICT, WITHOUT ROWID;

-- Double entry by construction: one debit, one credit, one positive amount. The opening balance of
-- a row must be the closing balance of the row before, and so must its hash.
CREATE TABLE ledger (
  organization     TEXT NOT NULL REFERENCES organization (id),
  seq              INTEGER NOT NULL CHECK (seq >= 0),
  prev_seq         INTEGER,
  id               BLOB UNIQUE CHECK (length(id) = 16),
  kind             TEXT NOT NULL CHECK (kind IN ('genesis', 'purchase', 'charge', 'charge_debt', 'debt_repaid', 'refund')),
  debit            TEXT CHECK (debit IN ('org_credits', 'org_debt', 'issued', 'revenue')),
  credit           TEXT CHECK (credit IN ('org_credits', 'org_debt', 'revenue')),
  amount_cc        INTEGER NOT NULL CHECK (amount_cc >= 0),
  generation       BLOB,
  reference        TEXT CHECK (length(reference) BETWEEN 1 AND 255),
  description      TEXT NOT NULL,
  at_us            INTEGER NOT NULL,
  posted_before_cc INTEGER,
  posted_after_cc  INTEGER NOT NULL CHECK (posted_after_cc >= 0),
  debt_before_cc   INTEGER,
  debt_after_cc    INTEGER NOT NULL CHECK (debt_after_cc >= 0),
  prev_hash        BLOB,
  hash             BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (organization, seq),
  UNIQUE (organization, seq, hash, posted_after_cc, debt_after_cc),
  CHECK ((seq = 0) = (kind = 'genesis')),
  CHECK ((seq = 0) = (prev_seq IS NULL)),
  CHECK (seq > 0 OR (amount_cc = 0 AND posted_after_cc = 0 AND debt_after_cc = 0)),
  CHECK (seq = 0 OR (seq = prev_seq + 1 AND id IS NOT NULL AND amount_cc > 0 AND debit IS NOT NULL AND credit IS NOT NULL
    AND prev_hash IS NOT NULL AND posted_before_cc IS NOT NULL AND debt_before_cc IS NOT NULL)),
  -- Each kind has its two sides, so that no row takes from where it gives.
  CHECK (seq = 0 OR debit = CASE kind
    WHEN 'purchase' THEN 'issued' WHEN 'charge_debt' THEN 'org_debt' WHEN 'refund' THEN 'revenue' ELSE 'org_credits' END),
  CHECK (seq = 0 OR credit = CASE kind
    WHEN 'purchase' THEN 'org_credits' WHEN 'refund' THEN 'org_credits' WHEN 'debt_repaid' THEN 'org_debt' ELSE 'revenue' END),
  CHECK (seq = 0 OR posted_after_cc - posted_before_cc = CASE kind
    WHEN 'purchase' THEN amount_cc WHEN 'refund' THEN amount_cc
    WHEN 'charge' THEN -amount_cc WHEN 'debt_repaid' THEN -amount_cc ELSE 0 END),
  CHECK (seq = 0 OR debt_after_cc - debt_before_cc = CASE kind
    WHEN 'charge_debt' THEN amount_cc WHEN 'debt_repaid' THEN -amount_cc ELSE 0 END),
  CHECK ((kind IN ('charge', 'charge_debt', 'refund')) = (generation IS NOT NULL)),
  CHECK ((kind = 'purchase') <= (reference IS NOT NULL)),
  FOREIGN KEY (generation, organization) REFERENCES generation (id, organization),
  FOREIGN KEY (organization, prev_seq, prev_hash, posted_before_cc, debt_before_cc)
    REFERENCES ledger (organization, seq, hash, posted_after_cc, debt_after_cc)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ledger_once ON ledger (generation, kind) WHERE generation IS NOT NULL;
CREATE INDEX ledger_by_time ON ledger (organization, at_us) WHERE generation IS NOT NULL;
CREATE INDEX ledger_refund ON ledger (organization, at_us) WHERE kind = 'refund';
CREATE UNIQUE INDEX ledger_reference ON ledger (organization, reference) WHERE kind = 'purchase';

-- A foreign key cannot say which outcome it wants: a charge needs the end of a hold that was posted.
CREATE TRIGGER charge_of_settled BEFORE INSERT ON ledger WHEN NEW.generation IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM hold_resolution r
     WHERE r.generation = NEW.generation AND r.organization = NEW.organization AND r.outcome = 'posted')
  BEGIN SELECT RAISE(ABORT, 'only a settled generation is charged'); END;

-- Nothing comes back that was not taken.
CREATE TRIGGER refund_of_charge BEFORE INSERT ON ledger WHEN NEW.kind = 'refund' AND NEW.amount_cc > (
    SELECT coalesce(sum(l.amount_cc), 0) FROM ledger l
     WHERE l.generation = NEW.generation AND l.kind IN ('charge', 'charge_debt'))
  BEGIN SELECT RAISE(ABORT, 'a refund is at most the charge'); END;

-- The table of steps is part of the rules, not of the data.
CREATE TRIGGER transition_closed BEFORE INSERT ON transition BEGIN SELECT RAISE(ABORT, 'the steps are fixed'); END;
CREATE TRIGGER transition_fixed BEFORE UPDATE ON transition BEGIN SELECT RAISE(ABORT, 'the steps are fixed'); END;
CREATE TRIGGER transition_kept BEFORE DELETE ON transition BEGIN SELECT RAISE(ABORT, 'the steps are fixed'); END;

-- History is never changed.
CREATE TRIGGER generation_fixed BEFORE UPDATE ON generation BEGIN SELECT RAISE(ABORT, 'a generation is fixed'); END;
CREATE TRIGGER generation_kept BEFORE DELETE ON generation BEGIN SELECT RAISE(ABORT, 'a generation is kept'); END;
CREATE TRIGGER event_fixed BEFORE UPDATE ON generation_event BEGIN SELECT RAISE(ABORT, 'history is fixed'); END;
CREATE TRIGGER event_kept BEFORE DELETE ON generation_event BEGIN SELECT RAISE(ABORT, 'history is kept'); END;
CREATE TRIGGER price_change_fixed BEFORE UPDATE ON price_change BEGIN SELECT RAISE(ABORT, 'a price change is fixed'); END;
CREATE TRIGGER price_change_kept BEFORE DELETE ON price_change BEGIN SELECT RAISE(ABORT, 'a price change is kept'); END;
CREATE TRIGGER model_kept BEFORE DELETE ON model BEGIN SELECT RAISE(ABORT, 'a model is kept'); END;
CREATE TRIGGER actual_fixed BEFORE UPDATE ON actual BEGIN SELECT RAISE(ABORT, 'what was charged is fixed'); END;
CREATE TRIGGER actual_kept BEFORE DELETE ON actual BEGIN SELECT RAISE(ABORT, 'what was charged is kept'); END;
CREATE TRIGGER hold_fixed BEFORE UPDATE ON hold BEGIN SELECT RAISE(ABORT, 'a hold is fixed'); END;
CREATE TRIGGER hold_kept BEFORE DELETE ON hold BEGIN SELECT RAISE(ABORT, 'a hold is kept'); END;
CREATE TRIGGER resolution_fixed BEFORE UPDATE ON hold_resolution BEGIN SELECT RAISE(ABORT, 'a resolution is fixed'); END;
CREATE TRIGGER resolution_kept BEFORE DELETE ON hold_resolution BEGIN SELECT RAISE(ABORT, 'a resolution is kept'); END;
CREATE TRIGGER ledger_fixed BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is fixed'); END;
CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is kept'); END;
CREATE TRIGGER image_fixed BEFORE UPDATE ON image BEGIN SELECT RAISE(ABORT, 'an image is fixed'); END;
CREATE TRIGGER image_kept BEFORE DELETE ON image BEGIN SELECT RAISE(ABORT, 'an image is kept'); END;
CREATE TRIGGER call_fixed BEFORE UPDATE ON upstream_call BEGIN SELECT RAISE(ABORT, 'a call is fixed'); END;
CREATE TRIGGER call_kept BEFORE DELETE ON upstream_call BEGIN SELECT RAISE(ABORT, 'a call is kept'); END;
CREATE TRIGGER receipt_fixed BEFORE UPDATE ON call_receipt BEGIN SELECT RAISE(ABORT, 'a receipt is fixed'); END;
CREATE TRIGGER receipt_kept BEFORE DELETE ON call_receipt BEGIN SELECT RAISE(ABORT, 'a receipt is kept'); END;
CREATE TRIGGER question_kept BEFORE DELETE ON question BEGIN SELECT RAISE(ABORT, 'a question is kept'); END;
CREATE TRIGGER answer_fixed BEFORE UPDATE ON question WHEN OLD.answer IS NOT NULL BEGIN SELECT RAISE(ABORT, 'an answer is fixed'); END;
CREATE TRIGGER disagreement_fixed BEFORE UPDATE ON disagreement BEGIN SELECT RAISE(ABORT, 'a disagreement is fixed'); END;
CREATE TRIGGER disagreement_kept BEFORE DELETE ON disagreement BEGIN SELECT RAISE(ABORT, 'a disagreement is kept'); END;
CREATE TRIGGER absorption_fixed BEFORE UPDATE ON absorption BEGIN SELECT RAISE(ABORT, 'an absorption is fixed'); END;
CREATE TRIGGER absorption_kept BEFORE DELETE ON absorption BEGIN SELECT RAISE(ABORT, 'an absorption is kept'); END;
CREATE TRIGGER correction_fixed BEFORE UPDATE ON correction BEGIN SELECT RAISE(ABORT, 'a correction is fixed'); END;
CREATE TRIGGER correction_kept BEFORE DELETE ON correction BEGIN SELECT RAISE(ABORT, 'a correction is kept'); END;
CREATE TRIGGER expiry_fixed BEFORE UPDATE ON expiry BEGIN SELECT RAISE(ABORT, 'an expiry is fixed'); END;
CREATE TRIGGER expiry_kept BEFORE DELETE ON expiry BEGIN SELECT RAISE(ABORT, 'an expiry is kept'); END;
CREATE TRIGGER state_kept BEFORE DELETE ON generation_state BEGIN SELECT RAISE(ABORT, 'a state is kept'); END;
-- Of a key, only its last use and its end are told later; its end is told once.
CREATE TRIGGER api_key_fixed BEFORE UPDATE OF id, organization, name, prefix, mac, pepper, role, created_us, expires_us ON api_key
  BEGIN SELECT RAISE(ABORT, 'a key is fixed'); END;
CREATE TRIGGER api_key_ended BEFORE UPDATE OF revoked_us ON api_key WHEN OLD.revoked_us IS NOT NULL
  BEGIN SELECT RAISE(ABORT, 'a key ends once'); END;
CREATE TRIGGER api_key_kept BEFORE DELETE ON api_key BEGIN SELECT RAISE(ABORT, 'a key is kept'); END;
-- Of an OpenRouter key, only refusals, its wrapping, its loss and its end are told later; the last two
-- are told once.
CREATE TRIGGER openrouter_key_fixed BEFORE UPDATE OF id, organization, fingerprint, masked, created_us ON openrouter_key
  BEGIN SELECT RAISE(ABORT, 'a key is fixed'); END;
CREATE TRIGGER openrouter_key_ended BEFORE UPDATE ON openrouter_key WHEN OLD.ended_us IS NOT NULL
  BEGIN SELECT RAISE(ABORT, 'a key ends once'); END;
CREATE TRIGGER openrouter_key_lost BEFORE UPDATE OF lost_us ON openrouter_key WHEN OLD.lost_us IS NOT NULL
  BEGIN SELECT RAISE(ABORT, 'what is given up stays so'); END;
CREATE TRIGGER openrouter_key_kept BEFORE DELETE ON openrouter_key BEGIN SELECT RAISE(ABORT, 'a key is kept'); END;
CREATE TRIGGER pepper_kept BEFORE DELETE ON pepper BEGIN SELECT RAISE(ABORT, 'a pepper is kept'); END;
CREATE TRIGGER audit_by_ended BEFORE INSERT ON audit_entry
  WHEN EXISTS (SELECT 1 FROM api_key k WHERE k.id = NEW.actor AND k.revoked_us IS NOT NULL)
  BEGIN SELECT RAISE(ABORT, 'a revoked key does nothing'); END;
CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit trail is fixed'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit trail is kept'); END;
CREATE TRIGGER balance_kept BEFORE DELETE ON balance BEGIN SELECT RAISE(ABORT, 'a balance is kept'); END;
CREATE TRIGGER state_final BEFORE UPDATE ON generation_state WHEN OLD.state IN ('settled', 'voided')
  BEGIN SELECT RAISE(ABORT, 'a generation ends once'); END;
