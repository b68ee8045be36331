//! The questions of an audit (`reliability.md`, invariants I1 to I14; R1 and R2 are of rows that
//! repeat others or point at them). Every row that a statement gives is a break, and names whose it is.

use super::{Breaks, Look, charges, history, pictures, rehash};

/// What must hold, and how it is looked for that it does not.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) holds: &'static str,
    /// What is broken, and the statement that finds it. `?1` is now, in microseconds.
    pub(super) statements: &'static [(&'static str, &'static str)],
    /// What SQL alone cannot compute.
    pub(super) beside: Option<Check>,
}

/// A look at rows one by one.
pub(super) type Check = fn(&mut Look<'_>, &mut Breaks) -> Result<(), rusqlite::Error>;

/// Those of the books.
pub(super) const BOOKS: &[Question] = &[
    Question {
        name: "I1",
        holds: "each row of the ledger takes from one side what it gives to the other",
        statements: &[
            (
                "a row of the ledger does not take from one side what it gives to another",
                "SELECT organization || ' ' || seq FROM ledger
                  WHERE seq > 0 AND (debit IS NULL OR credit IS NULL OR debit = credit OR amount_cc <= 0)",
            ),
            (
                "a row of the ledger has not the two sides of its kind",
                "SELECT organization || ' ' || seq FROM ledger WHERE seq > 0 AND (
                      debit IS NOT CASE kind WHEN 'purchase' THEN 'issued' WHEN 'charge_debt' THEN 'org_debt'
                                             WHEN 'refund' THEN 'revenue' ELSE 'org_credits' END
                   OR credit IS NOT CASE kind WHEN 'purchase' THEN 'org_credits' WHEN 'refund' THEN 'org_credits'
                                              WHEN 'debt_repaid' THEN 'org_debt' ELSE 'revenue' END)",
            ),
        ],
        beside: None,
    },
    Question {
        name: "I2",
        holds: "the credits owned and the debt are the sums of the ledger",
        statements: &[
            (
                "an organization has no balance",
                "SELECT o.id FROM organization o WHERE NOT EXISTS (SELECT 1 FROM balance b WHERE b.organization = o.id)",
            ),
            (
                "the credits owned are not the sum of the ledger",
                "SELECT b.organization FROM balance b WHERE b.posted_cc <> (
                   SELECT coalesce(sum(CASE kind WHEN 'purchase' THEN amount_cc WHEN 'refund' THEN amount_cc
                                                 WHEN 'charge' THEN -amount_cc WHEN 'debt_repaid' THEN -amount_cc ELSE 0 END), 0)
                     FROM ledger l WHERE l.organization = b.organization)",
            ),
            (
                "the debt is not the sum of the ledger",
                "SELECT b.organization FROM balance b WHERE b.debt_cc <> (
                   SELECT coalesce(sum(CASE kind WHEN 'charge_debt' THEN amount_cc WHEN 'debt_repaid' THEN -amount_cc ELSE 0 END), 0)
                     FROM ledger l WHERE l.organization = b.organization)",
            ),
        ],
        beside: None,
    },
    Question {
        name: "I3",
        holds: "what is held is the sum of the open holds",
        statements: &[(
            "what is held is not the sum of the open holds",
            "SELECT b.organization FROM balance b WHERE b.held_cc <> (
               SELECT coalesce(sum(h.amount_cc), 0) FROM hold h
                WHERE h.organization = b.organization
                  AND NOT EXISTS (SELECT 1 FROM hold_resolution r WHERE r.generation = h.generation))",
        )],
        beside: None,
    },
    Question {
        name: "I4",
        holds: "every hold is backed, and no balance is negative",
        statements: &[(
            "a hold is not backed, or a balance is negative",
            "SELECT organization FROM balance WHERE held_cc > posted_cc OR held_cc < 0 OR debt_cc < 0",
        )],
        beside: None,
    },
    Question {
        name: "I5",
        holds: "the ledger has no gap",
        statements: &[(
            "the ledger has a gap",
            "SELECT organization FROM ledger GROUP BY organization HAVING count(*) <> max(seq) + 1",
        )],
        beside: None,
    },
    Question {
        name: "I6",
        holds: "each row of the ledger begins where the one before has ended",
        statements: &[
            (
                "a row of the ledger does not begin where the one before has ended",
                "SELECT l.organization || ' ' || l.seq FROM ledger l
                   JOIN ledger p ON p.organization = l.organization AND p.seq = l.seq - 1
                  WHERE l.posted_before_cc IS NOT p.posted_after_cc OR l.debt_before_cc IS NOT p.debt_after_cc
                     OR l.prev_hash IS NOT p.hash",
            ),
            (
                "a row of the ledger is earlier than the one before",
                "SELECT l.organization || ' ' || l.seq FROM ledger l
                   JOIN ledger p ON p.organization = l.organization AND p.seq = l.seq - 1 WHERE l.at_us < p.at_us",
            ),
        ],
        beside: None,
    },
    Question {
        name: "I7",
        holds: "each row of the ledger carries its hash, and the balance stands on the last",
        statements: &[(
            "the balance does not stand on the last row of the ledger",
            "SELECT b.organization FROM balance b JOIN ledger l ON l.organization = b.organization
              WHERE l.seq = (SELECT max(seq) FROM ledger x WHERE x.organization = b.organization)
                AND (l.hash <> b.head OR l.seq <> b.seq)",
        )],
        beside: Some(rehash::ledger),
    },
    Question {
        name: "I8",
        holds: "a request has at most one attempt that is not voided, a generation one charge",
        statements: &[
            (
                "a request has more than one attempt that is not voided",
                "SELECT organization || ' ' || request_id FROM generation_state WHERE state <> 'voided'
                  GROUP BY organization, request_id HAVING count(*) > 1",
            ),
            (
                "a generation is charged twice",
                "SELECT hex(generation) || ' ' || kind FROM ledger WHERE generation IS NOT NULL
                  GROUP BY generation, kind HAVING count(*) > 1",
            ),
        ],
        beside: None,
    },
    Question {
        name: "I9",
        holds: "settled is charged, its hold posted, and its pictures are there",
        statements: &[
            (
                "a settled generation is not charged what it says",
                "SELECT hex(s.generation) FROM generation_state s WHERE s.state = 'settled' AND s.charge_cc IS NOT (
                   SELECT coalesce(sum(amount_cc), 0) FROM ledger l
                    WHERE l.generation = s.generation AND l.kind IN ('charge', 'charge_debt'))",
            ),
            (
                "a settled generation has no image, or its hold is not posted",
                "SELECT hex(s.generation) FROM generation_state s WHERE s.state = 'settled' AND (
                      s.delivered IS NOT (SELECT count(*) FROM image i WHERE i.generation = s.generation) OR s.delivered < 1
                   OR NOT EXISTS (SELECT 1 FROM hold_resolution r WHERE r.generation = s.generation AND r.outcome = 'posted'))",
            ),
            (
                "a generation is charged at another moment than it was settled",
                "SELECT hex(l.generation) FROM ledger l
                   JOIN generation_event e ON e.generation = l.generation AND e.to_state = 'settled'
                  WHERE l.kind IN ('charge', 'charge_debt') AND l.at_us <> e.at_us",
            ),
            (
                "a generation that is not settled is charged",
                "SELECT hex(l.generation) FROM ledger l WHERE l.generation IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM generation_state s WHERE s.generation = l.generation AND s.state IN ('settled', 'voided'))",
            ),
        ],
        beside: Some(pictures::kept),
    },
    Question {
        name: "I10",
        holds: "voided is not charged, and its hold is released",
        statements: &[(
            "a voided generation is charged, or its hold is not released",
            "SELECT hex(s.generation) FROM generation_state s WHERE s.state = 'voided' AND (
                  EXISTS (SELECT 1 FROM ledger l WHERE l.generation = s.generation)
               OR NOT EXISTS (SELECT 1 FROM hold_resolution r WHERE r.generation = s.generation AND r.outcome = 'voided'))",
        )],
        beside: None,
    },
    Question {
        name: "I11",
        holds: "no hold is kept beyond its release",
        // A minute more than the rule allows: what ends late is on its way.
        statements: &[(
            "a hold is kept beyond its release",
            "SELECT hex(s.generation) || ' ' || s.state FROM generation_state s JOIN generation g ON g.id = s.generation
              WHERE s.state NOT IN ('settled', 'voided')
                AND min(g.deadline_us + 60000000, g.created_us + 900000000) + 60000000 < ?1",
        )],
        beside: None,
    },
    Question {
        name: "I12",
        holds: "a charge is what the formula gives for what its calls have cost",
        statements: &[
            (
                "a refund is not what its correction says",
                "SELECT hex(c.generation) FROM correction c WHERE c.refund_cc <> (
                   SELECT coalesce(sum(amount_cc), 0) FROM ledger l WHERE l.generation = c.generation AND l.kind = 'refund')",
            ),
            (
                "a refund is of another moment than its correction",
                "SELECT hex(c.generation) FROM correction c JOIN ledger l ON l.generation = c.generation
                  WHERE l.kind = 'refund' AND l.at_us <> c.at_us",
            ),
            (
                "a refund without a correction",
                "SELECT hex(generation) FROM ledger l WHERE kind = 'refund'
                    AND NOT EXISTS (SELECT 1 FROM correction c WHERE c.generation = l.generation)",
            ),
        ],
        beside: Some(charges::recomputed),
    },
    Question {
        name: "I13",
        holds: "what calls cost, by key and day, is charged or absorbed",
        statements: &[
            ("what the calls of a day cost is neither charged nor absorbed", charges::DAYS),
            (
                "an absorption is not what its call cost for nothing",
                "SELECT hex(a.generation) || ' ' || a.call FROM absorption a
                   LEFT JOIN call_receipt r ON r.generation = a.generation AND r.call = a.call
                   LEFT JOIN question q ON q.generation = a.generation AND q.call = a.call
                  WHERE a.why = 'no_image' AND a.cost_pd <> coalesce(r.cost_pd, q.cost_pd)",
            ),
        ],
        beside: None,
    },
    Question {
        name: "I14",
        holds: "each generation stands at the end of a legal history, and what is open is asked",
        statements: &[
            (
                "a generation has no state",
                "SELECT hex(g.id) FROM generation g WHERE NOT EXISTS (SELECT 1 FROM generation_state s WHERE s.generation = g.id)",
            ),
            (
                "the state of a generation is not the last of its history",
                "SELECT hex(s.generation) FROM generation_state s LEFT JOIN generation_event e
                     ON e.generation = s.generation AND e.version = s.version
                  WHERE s.state IS NOT e.to_state
                     OR s.version <> (SELECT max(version) FROM generation_event x WHERE x.generation = s.generation)",
            ),
            (
                "a generation has not ended when its last step was taken",
                "SELECT hex(s.generation) FROM generation_state s JOIN generation_event e
                     ON e.generation = s.generation AND e.version = s.version
                  WHERE s.finished_us <> e.at_us",
            ),
            (
                "the state of a generation is of another agent or organization",
                "SELECT hex(s.generation) FROM generation_state s JOIN generation g ON g.id = s.generation
                  WHERE s.agent <> g.agent OR s.organization <> g.organization",
            ),
            (
                "a history does not begin when its generation was begun",
                "SELECT hex(g.id) FROM generation g JOIN generation_event e ON e.generation = g.id AND e.version = 0
                  WHERE e.at_us <> g.created_us",
            ),
            (
                "a step does not begin where the one before has ended",
                "SELECT hex(e.generation) || ' ' || e.version FROM generation_event e LEFT JOIN generation_event p
                     ON p.generation = e.generation AND p.version = e.version - 1
                  WHERE e.from_state IS NOT coalesce(p.to_state, 'none') OR e.at_us < p.at_us
                     OR (e.version > 0 AND p.version IS NULL)",
            ),
            (
                "nobody has asked what a call cost that did not tell",
                "SELECT hex(u.generation) || ' ' || u.call FROM upstream_call u
                   JOIN generation_state s ON s.generation = u.generation
                   LEFT JOIN call_receipt r ON r.generation = u.generation AND r.call = u.call
                  WHERE s.state IN ('stored', 'in_doubt', 'settled', 'voided') AND r.cost_pd IS NULL AND coalesce(r.unbilled, 0) = 0
                    AND NOT EXISTS (SELECT 1 FROM question q WHERE q.generation = u.generation AND q.call = u.call)",
            ),
        ],
        beside: Some(history::legal),
    },
];

/// Those of rows that repeat others, or point at them.
pub(super) const ROWS: &[Question] = &[
    Question {
        name: "R1",
        holds: "what a row points at is there",
        statements: &[(
            "a row points at nothing",
            "SELECT \"table\" || ' ' || coalesce(rowid, '') FROM pragma_foreign_key_check",
        )],
        beside: None,
    },
    Question {
        name: "R2",
        holds: "what pictures cost lately is what was settled",
        statements: &[(
            "what pictures cost lately is not what was settled",
            "SELECT hex(s.generation) FROM generation_state s JOIN generation g ON g.id = s.generation
               LEFT JOIN actual a ON a.generation = s.generation
              WHERE (a.generation IS NOT NULL) <> (s.state = 'settled' AND g.key_mode = 'platform'
                                                    AND json_extract(g.details, '$.prices.references') = 0)
                 OR a.cost_pd <> s.cost_pd OR a.images <> s.charged_images OR a.model <> g.model",
        )],
        beside: None,
    },
];
