//! The questions about the audit trails, A1 to A11: are they whole, and does what is there follow
//! from what they tell?

use super::questions::Question;
use super::{moves, present, rehash};

/// All of them.
pub(super) const QUESTIONS: &[Question] = &[
    Question {
        name: "A1",
        holds: "each entry of an audit trail carries its hash",
        statements: &[],
        beside: Some(rehash::trails),
    },
    Question {
        name: "A2",
        holds: "each organization has an audit trail without a gap, and so has the platform",
        statements: &[(
            "there is no audit trail, or one with a gap",
            "SELECT o.id FROM organization o WHERE NOT EXISTS (SELECT 1 FROM audit_entry a WHERE a.trail = o.id)
             UNION ALL
             SELECT 'the platform' WHERE EXISTS (SELECT 1 FROM organization)
                AND NOT EXISTS (SELECT 1 FROM audit_entry WHERE trail = '')
             UNION ALL
             SELECT coalesce(organization, 'the platform') FROM audit_entry GROUP BY trail HAVING count(*) <> max(seq) + 1",
        )],
        beside: None,
    },
    Question {
        name: "A3",
        holds: "each API key has the name, role and expiry that the audit trail tells",
        statements: &[(
            "the audit trail does not tell who made a key",
            "SELECT organization || ' ' || lower(hex(id)) FROM api_key
             EXCEPT SELECT trail || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'api_key_created'",
        )],
        beside: Some(present::api_keys),
    },
    Question {
        name: "A4",
        holds: "each API key was revoked when the audit trail tells, or not at all",
        statements: &[
            (
                "the audit trail does not tell who revoked a key",
                "SELECT organization || ' ' || lower(hex(id)) FROM api_key WHERE revoked_us IS NOT NULL
                 EXCEPT SELECT trail || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'api_key_revoked'",
            ),
            ("an entry is by a key that had been revoked", BY_REVOKED),
        ],
        beside: Some(present::revocations),
    },
    Question {
        name: "A5",
        holds: "credits were given as the audit trail tells",
        statements: &[(
            "the audit trail does not tell who gave credits",
            "SELECT organization || ' ' || reference FROM ledger WHERE kind = 'purchase'
             EXCEPT SELECT trail || ' ' || subject FROM audit_entry WHERE action = 'credits_added'",
        )],
        beside: Some(present::credits),
    },
    Question {
        name: "A6",
        holds: "there are the organizations that the platform's audit trail tells, with their names",
        statements: &[(
            "the platform's audit trail does not tell who made an organization",
            "SELECT id FROM organization
             EXCEPT SELECT subject FROM audit_entry WHERE trail = '' AND action = 'organization_created'",
        )],
        beside: Some(present::organizations),
    },
    Question {
        name: "A7",
        holds: "each tool is configured as the audit trail tells",
        statements: &[(
            "the audit trail does not tell who made a tool",
            "SELECT organization || ' ' || agent FROM tool
             EXCEPT SELECT trail || ' ' || subject FROM audit_entry WHERE action = 'tool_created'",
        )],
        beside: Some(present::tools),
    },
    Question {
        name: "A8",
        holds: "models are switched off that the audit trail tells",
        statements: &[(
            "the audit trail does not tell who switched a model off",
            "SELECT organization || ' ' || model FROM model_off
             EXCEPT SELECT trail || ' ' || subject FROM audit_entry WHERE action = 'model_availability_changed'",
        )],
        beside: Some(present::availability),
    },
    Question {
        name: "A9",
        holds: "organizations draw with the OpenRouter keys that the audit trail tells",
        statements: &[(
            "the audit trail does not tell who set an OpenRouter key, or tells of one that is not there",
            "SELECT * FROM (SELECT organization || ' ' || lower(hex(id)) FROM openrouter_key
               EXCEPT SELECT trail || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'openrouter_key_set')
             UNION ALL
             SELECT * FROM (SELECT trail || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'openrouter_key_set'
               EXCEPT SELECT organization || ' ' || lower(hex(id)) FROM openrouter_key)",
        )],
        beside: Some(present::openrouter_keys),
    },
    Question {
        name: "A10",
        holds: "prices moved, and are doubted, as the platform's audit trail tells",
        statements: &[
            (
                "prices moved that the platform's audit trail does not tell of",
                "SELECT DISTINCT strftime('%Y-%m-%dT%H:%M:%SZ', at_us / 1000000, 'unixepoch') FROM price_change
                  WHERE at_us NOT IN (SELECT at_us FROM audit_entry WHERE trail = '' AND action = 'models_synced')",
            ),
            (
                "a model was withdrawn, or its price changed, when nobody had read a list",
                "SELECT slug FROM model m WHERE EXISTS (
                   SELECT 1 FROM (SELECT withdrawn_us AS at_us UNION SELECT price_changed_us) WHERE at_us IS NOT NULL
                      AND at_us NOT IN (SELECT at_us FROM audit_entry WHERE trail = '' AND action = 'models_synced'))",
            ),
            (
                "there are not the models that the platform's audit trail tells",
                MODELS,
            ),
            ("a price is doubted, or believed, and nobody says since when", DOUBTS),
        ],
        beside: Some(moves::told),
    },
    Question {
        name: "A11",
        holds: "everything is sealed with the key that the platform's audit trail tells",
        statements: &[(
            "the platform's audit trail does not tell who replaced the key-encryption key",
            "SELECT lower(hex(id)) FROM pepper
              WHERE NOT EXISTS (SELECT 1 FROM audit_entry WHERE trail = '' AND action = 'encryption_key_replaced')",
        )],
        beside: Some(present::encryption_key),
    },
];

/// A key does nothing after its end, in the order of the trail.
const BY_REVOKED: &str = "
  WITH ended AS MATERIALIZED (
    SELECT trail, replace(subject, '-', '') AS key, min(seq) AS seq FROM audit_entry
     WHERE action = 'api_key_revoked' GROUP BY 1, 2)
  SELECT e.trail || ' ' || e.seq FROM audit_entry e
    JOIN ended ON ended.trail = e.trail AND ended.key = lower(hex(e.actor)) AND e.seq > ended.seq
   WHERE e.actor IS NOT NULL";

/// How many models are offered, and how many have come and not gone.
const MODELS: &str = "
  SELECT offered || ' of ' || told FROM (
    SELECT (SELECT count(*) FROM model WHERE withdrawn_us IS NULL) AS offered,
           (SELECT coalesce(sum(CASE c.value ->> 'field' WHEN 'models_added' THEN 1 WHEN 'models_withdrawn' THEN -1 ELSE 0 END
                                * CAST(c.value ->> 'new' AS INTEGER)), 0)
              FROM audit_entry e, json_each(e.changes) c WHERE e.trail = '' AND e.action = 'models_synced') AS told)
   WHERE offered <> told";

/// A price is doubted from a change that is hard to believe until it is confirmed, or moves again,
/// or a list is read a day later.
const DOUBTS: &str = "
  SELECT slug FROM (
    SELECT slug, doubted_us, price_changed_us,
           EXISTS (SELECT 1 FROM price_change c WHERE c.model = slug AND c.flagged AND c.at_us = coalesce(doubted_us, price_changed_us)) AS leapt,
           EXISTS (SELECT 1 FROM audit_entry e WHERE e.trail = '' AND e.action = 'price_confirmed' AND e.subject = slug AND e.seq >
                     (SELECT max(s.seq) FROM audit_entry s WHERE s.trail = '' AND s.action = 'models_synced'
                         AND s.at_us = coalesce(doubted_us, price_changed_us))) AS confirmed
      FROM model)
   WHERE (doubted_us IS NOT NULL AND (NOT leapt OR confirmed))
      OR (doubted_us IS NULL AND leapt AND NOT confirmed
          AND (SELECT read_us FROM price_list) - price_changed_us < 86400000000)";
