//! The port of price lists: what OpenRouter listed, in its own words as JSON, what prices were, and
//! what pictures cost lately.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;

use super::conditions::Conditions;
use super::odd::odd;
use super::rows::{micros, time};
use super::{Sqlite, Trouble, deeds, trail};
use crate::domain::catalog::{Caution, Kept, PriceChange, PricePart};
use crate::domain::ids::{GenerationId, Slug};
use crate::domain::money::UsdCost;
use crate::domain::recent::{Figures, GENERATIONS, Kind};
use crate::domain::shape::{Quality, Resolution};
use crate::domain::trail::By;
use crate::ports::{ChangePlace, KeptList, ListUpdate, PriceStore, SettingsError};
use listed::Document;

mod listed;

#[async_trait]
impl PriceStore for Sqlite {
    async fn kept(&self) -> Result<Option<KeptList>, SettingsError> {
        self.look_back(|connection| {
            let mut statement = connection.prepare_cached("SELECT read_us FROM price_list")?;
            let Some(read) = statement
                .query_map([], |row| row.get(0))?
                .next()
                .transpose()?
            else {
                return Ok(None);
            };
            Ok::<_, SettingsError>(Some(KeptList {
                models: models(connection)?,
                read: time(read),
            }))
        })
        .await
    }

    async fn keep(&self, update: ListUpdate, by: By) -> Result<(), SettingsError> {
        self.write(move |connection| {
            for model in &update.models {
                keep(connection, model)?;
            }
            for price in &update.prices {
                note(connection, price)?;
            }
            let sql = "
              INSERT INTO price_list VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET read_us = excluded.read_us";
            connection.prepare_cached(sql)?.execute([micros(by.at)])?;
            if let Some(deed) = deeds::models_synced(&update) {
                trail::append_for_all(connection, &by, &deed)?;
            }
            Ok(())
        })
        .await
    }

    async fn believe(&self, doubted: Kept, by: By) -> Result<(), SettingsError> {
        self.write(move |connection| {
            let Some(caution) = &doubted.caution else {
                return Ok(());
            };
            let deed = deeds::price_confirmed(&doubted.listed.slug, caution.since);
            let believed = Kept {
                caution: None,
                ..doubted.clone()
            };
            keep(connection, &believed)?;
            Ok(trail::append_for_all(connection, &by, &deed)?)
        })
        .await
    }

    async fn price_changes(
        &self,
        model: Option<Slug>,
        after: Option<ChangePlace>,
        limit: u32,
    ) -> Result<Vec<PriceChange>, SettingsError> {
        self.look_back(move |connection| {
            let mut which = Conditions::default();
            which.add("1 =", 1);
            if let Some(model) = &model {
                which.add("model =", model.to_string());
            }
            if let Some(ChangePlace { at, slug, part }) = &after {
                let (at, slug, part) = (micros(*at), slug.to_string(), part.to_string());
                which.add_triple("(at_us, model, price) <", at, slug, part);
            }
            let sql = format!(
                "SELECT at_us, model, price, before, after, flagged FROM price_change
                  WHERE {} ORDER BY at_us DESC, model DESC, price DESC LIMIT {limit}",
                which.sql()
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(which.values()), change)?;
            Ok::<_, SettingsError>(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn figures(&self) -> Result<Vec<(Kind, Figures)>, SettingsError> {
        self.look_back(|connection| {
            let mut all = Vec::new();
            for kind in kinds(connection)? {
                let costs = newest(connection, &kind)?;
                all.extend(Figures::of(&costs).map(|figures| (kind, figures)));
            }
            Ok::<_, SettingsError>(all)
        })
        .await
    }
}

/// Notes what a generation cost that has just been settled, if the platform paid for it and nothing
/// but its kind decided its price: reference pictures are billed beside it.
pub(super) fn note_actual(
    connection: &Connection,
    id: GenerationId,
) -> Result<(), rusqlite::Error> {
    let sql = "
      INSERT INTO actual
      SELECT g.model, json_extract(g.details, '$.resolution'),
             coalesce(json_extract(g.details, '$.prices.quality'), ''),
             s.finished_us, s.generation, s.cost_pd, s.charged_images
        FROM generation_state s JOIN generation g ON g.id = s.generation
       WHERE s.generation = ?1 AND g.key_mode = 'platform'
         AND json_extract(g.details, '$.prices.references') = 0";
    let id = id.uuid();
    connection
        .prepare_cached(sql)?
        .execute([id.as_bytes().as_slice()])?;
    Ok(())
}

fn models(connection: &Connection) -> Result<Vec<Kept>, rusqlite::Error> {
    let sql = "
      SELECT slug, listed, withdrawn_us, price_changed_us, doubted, doubted_us FROM model ORDER BY slug";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], model)?;
    rows.collect()
}

fn model(row: &Row<'_>) -> Result<Kept, rusqlite::Error> {
    let slug = slug(row, 0)?;
    let document = |column| -> Result<Option<Document>, rusqlite::Error> {
        let text: Option<String> = row.get(column)?;
        let read = text.map(|text| serde_json::from_str(&text).map_err(|_| odd("model")));
        read.transpose()
    };
    let listed = document(1)?.ok_or_else(|| odd("model.listed"))?;
    let [withdrawn, price_changed, since]: [Option<i64>; 3] =
        [row.get(2)?, row.get(3)?, row.get(5)?];
    let caution = document(4)?.zip(since).map(|(before, since)| Caution {
        before: before.read(slug.clone()),
        since: time(since),
    });
    Ok(Kept {
        listed: listed.read(slug),
        withdrawn: withdrawn.map(time),
        price_changed: price_changed.map(time),
        caution,
    })
}

fn keep(connection: &Connection, kept: &Kept) -> Result<(), Trouble> {
    let sql = "
      INSERT INTO model VALUES (?1, ?2, ?3, ?4, ?5, ?6)
      ON CONFLICT (slug) DO UPDATE SET
        listed = excluded.listed, withdrawn_us = excluded.withdrawn_us,
        price_changed_us = excluded.price_changed_us,
        doubted = excluded.doubted, doubted_us = excluded.doubted_us";
    let text = |listed| super::rows::json(&Document::of(listed));
    let caution = kept.caution.as_ref();
    connection.prepare_cached(sql)?.execute(params![
        kept.listed.slug.as_str(),
        text(&kept.listed)?,
        kept.withdrawn.map(micros),
        kept.price_changed.map(micros),
        caution.map(|caution| text(&caution.before)).transpose()?,
        caution.map(|caution| micros(caution.since)),
    ])?;
    Ok(())
}

fn note(connection: &Connection, price: &PriceChange) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO price_change VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        micros(price.at),
        price.slug.as_str(),
        price.part.to_string(),
        price.before.to_string(),
        price.after.to_string(),
        price.flagged,
    ])?;
    Ok(())
}

fn change(row: &Row<'_>) -> Result<PriceChange, rusqlite::Error> {
    let decimal = |column| {
        let text: String = row.get(column)?;
        text.parse::<Decimal>().map_err(|_| odd("price_change"))
    };
    let part: String = row.get(2)?;
    Ok(PriceChange {
        at: time(row.get(0)?),
        slug: slug(row, 1)?,
        part: PricePart::parse(&part).ok_or_else(|| odd("price_change.price"))?,
        before: decimal(3)?,
        after: decimal(4)?,
        flagged: row.get(5)?,
    })
}

/// The kinds that were drawn, each found by a step in the index: there are few of them and many
/// generations.
fn kinds(connection: &Connection) -> Result<Vec<Kind>, rusqlite::Error> {
    let next = "
      SELECT model, resolution, quality FROM actual
       WHERE (model, resolution, quality) > (?1, ?2, ?3)
       ORDER BY model, resolution, quality LIMIT 1";
    let mut statement = connection.prepare_cached(next)?;
    let mut all = Vec::new();
    let mut last = [String::new(), String::new(), String::new()];
    loop {
        let read = |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
        let Some(found) = statement
            .query_map(last.each_ref(), read)?
            .next()
            .transpose()?
        else {
            return Ok(all);
        };
        last = found;
        let [model, resolution, quality] = &last;
        let quality = match quality.as_str() {
            "" => None,
            word => Some(Quality::parse(word).ok_or_else(|| odd("actual.quality"))?),
        };
        all.push(Kind {
            model: Slug::parse(model).map_err(|_| odd("actual.model"))?,
            resolution: Resolution::parse(resolution).ok_or_else(|| odd("actual.resolution"))?,
            quality,
        });
    }
}

/// What the newest generations of a kind cost, and how many pictures each brought.
fn newest(connection: &Connection, kind: &Kind) -> Result<Vec<(UsdCost, u32)>, rusqlite::Error> {
    let sql = "
      SELECT cost_pd, images FROM actual WHERE model = ?1 AND resolution = ?2 AND quality = ?3
       ORDER BY finished_us DESC, generation DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let of = params![
        kind.model.as_str(),
        kind.resolution.as_str(),
        kind.quality.map_or("", Quality::as_str),
        GENERATIONS,
    ];
    let rows = statement.query_map(of, |row| {
        let cost = UsdCost::from_pico(row.get(0)?).ok_or_else(|| odd("actual.cost_pd"))?;
        Ok((cost, row.get(1)?))
    })?;
    rows.collect()
}

fn slug(row: &Row<'_>, column: usize) -> Result<Slug, rusqlite::Error> {
    let text: String = row.get(column)?;
    Slug::parse(&text).map_err(|_| odd("model.slug"))
}
