//! Rows of tools.

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::conditions::Conditions;
use super::rows::{micros, time, word};
use crate::domain::ids::{AgentId, OrganizationId, Slug};
use crate::domain::money::Credits;
use crate::domain::shape::{AspectRatio, Quality, Resolution};
use crate::domain::tool::Tool;
use crate::ports::{Agents, StatusFilter, ToolFilter};

/// What [`tool`] reads, in its order.
const COLUMNS: &str =
    "agent, enabled, model, default_aspect_ratio, default_resolution, max_resolution,
  allowed_aspect_ratios, quality, max_images_per_call, daily_image_limit, monthly_credit_limit_cc,
  allow_reference_images, when_to_use, created_us, updated_us";

/// How the tools that have chosen a model are found. By itself SQLite would look through all of the
/// organization.
const BY_MODEL: &str = "tool INDEXED BY tool_by_model";

/// A model and the size of its pictures, as one word.
const CHOSEN: &str = "model || ' ' || default_resolution";

/// The tool of an agent.
pub(super) fn find(
    connection: &Connection,
    organization: &OrganizationId,
    agent: &AgentId,
) -> Result<Option<Tool>, rusqlite::Error> {
    let sql = format!("SELECT {COLUMNS} FROM tool WHERE organization = ?1 AND agent = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement
        .query_row([organization.as_str(), agent.as_str()], tool)
        .optional()
}

/// Writes a tool whole, new or not.
pub(super) fn save(
    connection: &Connection,
    organization: &OrganizationId,
    tool: &Tool,
) -> Result<(), rusqlite::Error> {
    let ratios: Vec<String> = tool
        .allowed_aspect_ratios
        .iter()
        .map(ToString::to_string)
        .collect();
    let sql = "
      INSERT INTO tool VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
      ON CONFLICT (organization, agent) DO UPDATE SET
        enabled = excluded.enabled, model = excluded.model, default_aspect_ratio = excluded.default_aspect_ratio,
        default_resolution = excluded.default_resolution, max_resolution = excluded.max_resolution,
        allowed_aspect_ratios = excluded.allowed_aspect_ratios, quality = excluded.quality,
        max_images_per_call = excluded.max_images_per_call, daily_image_limit = excluded.daily_image_limit,
        monthly_credit_limit_cc = excluded.monthly_credit_limit_cc,
        allow_reference_images = excluded.allow_reference_images, when_to_use = excluded.when_to_use,
        updated_us = excluded.updated_us";
    connection.execute(
        sql,
        params![
            organization.as_str(),
            tool.agent.as_str(),
            tool.enabled,
            tool.model.as_ref().map(Slug::as_str),
            tool.default_aspect_ratio.to_string(),
            tool.default_resolution.as_str(),
            tool.max_resolution.as_str(),
            ratios.join(" "),
            tool.quality.map(Quality::as_str),
            tool.max_images_per_call,
            tool.daily_image_limit,
            tool.monthly_credit_limit.map(Credits::hundredths),
            tool.allow_reference_images,
            tool.when_to_use,
            micros(tool.created),
            micros(tool.updated),
        ],
    )?;
    Ok(())
}

/// Whether there was one to delete.
pub(super) fn delete(
    connection: &Connection,
    organization: &OrganizationId,
    agent: &AgentId,
) -> Result<bool, rusqlite::Error> {
    let sql = "DELETE FROM tool WHERE organization = ?1 AND agent = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.execute([organization.as_str(), agent.as_str()])? > 0)
}

/// A look for the first tools that have something in common, by agent, with what it compares to.
pub(super) fn page_sql(
    organization: &OrganizationId,
    filter: &ToolFilter,
    after: Option<&AgentId>,
    limit: u32,
) -> (String, Conditions) {
    let table = filter.model.as_ref().map_or("tool", |_| BY_MODEL);
    let all = conditions(organization, filter, after);
    let those = all.sql();
    let sql = format!("SELECT {COLUMNS} FROM {table} WHERE {those} ORDER BY agent LIMIT {limit}");
    (sql, all)
}

fn conditions(
    organization: &OrganizationId,
    filter: &ToolFilter,
    after: Option<&AgentId>,
) -> Conditions {
    let mut all = Conditions::default();
    all.add("organization =", organization.to_string());
    if let Some(agent) = after {
        all.add("agent >", agent.to_string());
    }
    if let Some(model) = &filter.model {
        all.add("model =", model.to_string());
    }
    // `+`, and [`CHOSEN`] as it is no column, keep the order of agents, which a page can stop in, from being given up for an index.
    match &filter.status {
        None => {}
        Some(StatusFilter::Disabled) => all.add("enabled =", false),
        Some(StatusFilter::Ready(usable)) => {
            all.add("enabled =", true);
            all.add_words(&format!("{CHOSEN} IN"), &words(usable));
        }
        Some(StatusFilter::NeedsConfiguration(usable)) => {
            all.add("enabled =", true);
            let chosen = format!("coalesce({CHOSEN}, '')");
            all.add_words(&format!("{chosen} NOT IN"), &words(usable));
        }
    }
    if let Some(sizes) = &filter.sizes {
        all.add_words("+default_resolution IN", &names(sizes));
    }
    all
}

/// The first tools that have something in common, by agent.
pub(super) fn page(
    connection: &Connection,
    (sql, conditions): &(String, Conditions),
) -> Result<Vec<Tool>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let tools = statement.query_map(params_from_iter(conditions.values()), tool)?;
    tools.collect()
}

/// The agents whose tool is switched on and has chosen this model and one of these sizes.
pub(super) fn enabled_with(
    connection: &Connection,
    organization: &OrganizationId,
    (model, sizes): (&Slug, &[Resolution]),
    limit: u32,
) -> Result<Agents, rusqlite::Error> {
    let these = format!(
        "FROM {BY_MODEL} WHERE organization = ?1 AND model = ?2 AND enabled = 1
           AND default_resolution IN (SELECT value FROM json_each(?3))"
    );
    let sizes = serde_json::json!(names(sizes)).to_string();
    let mut count = connection.prepare_cached(&format!("SELECT count(*) {these}"))?;
    let of = [organization.as_str(), model.as_str(), &sizes];
    let count = count.query_row(of, |row| row.get(0))?;
    let first = format!("SELECT agent {these} ORDER BY agent LIMIT ?4");
    let mut first = connection.prepare_cached(&first)?;
    let first = first.query_map(
        params![organization.as_str(), model.as_str(), sizes, limit],
        |row| word(row, 0, |text| AgentId::parse(text).ok()),
    )?;
    Ok(Agents {
        first: first.collect::<Result<_, _>>()?,
        count,
    })
}

/// As [`CHOSEN`] writes them.
fn words(usable: &[(Slug, Resolution)]) -> Vec<String> {
    let chosen = usable.iter();
    chosen
        .map(|(model, size)| format!("{model} {size}"))
        .collect()
}

fn names(sizes: &[Resolution]) -> Vec<String> {
    sizes.iter().map(ToString::to_string).collect()
}

fn tool(row: &Row<'_>) -> Result<Tool, rusqlite::Error> {
    let ratios = |text: &str| {
        text.split_whitespace()
            .map(AspectRatio::parse)
            .collect::<Option<Vec<_>>>()
    };
    let model: Option<String> = row.get(2)?;
    let quality: Option<String> = row.get(7)?;
    let limit: Option<i64> = row.get(10)?;
    Ok(Tool {
        agent: word(row, 0, |text| AgentId::parse(text).ok())?,
        enabled: row.get(1)?,
        model: model.and_then(|text| Slug::parse(&text).ok()),
        default_aspect_ratio: word(row, 3, AspectRatio::parse)?,
        default_resolution: word(row, 4, Resolution::parse)?,
        max_resolution: word(row, 5, Resolution::parse)?,
        allowed_aspect_ratios: word(row, 6, ratios)?,
        quality: quality.and_then(|text| Quality::parse(&text)),
        max_images_per_call: row.get(8)?,
        daily_image_limit: row.get(9)?,
        monthly_credit_limit: limit.map(Credits::from_hundredths),
        allow_reference_images: row.get(11)?,
        when_to_use: row.get(12)?,
        created: time(row.get(13)?),
        updated: time(row.get(14)?),
    })
}
