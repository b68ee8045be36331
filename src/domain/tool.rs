//! An agent's Generate Image tool: what the builder chose, and whether it can be used.

use jiff::Timestamp;

use super::catalog::{Catalog, Model, Usability};
use super::failure::Failure;
use super::ids::{AgentId, Slug};
use super::money::Credits;
use super::openrouter_key::KeyStatus;
use super::shape::{AspectRatio, Quality, Resolution};
use super::trail::Field;

/// The most images one call may ask for, whatever the tool says (`domain.md`, Appendix 1).
pub const IMAGES_PER_CALL_MAX: u32 = 4;

/// The configuration of one agent's tool (`domain.md`, Appendix 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Whose it is.
    pub agent: AgentId,
    /// Whether the agent may create images.
    pub enabled: bool,
    /// The model that draws; none yet in a fresh tool.
    pub model: Option<Slug>,
    /// The shape used when a call names none.
    pub default_aspect_ratio: AspectRatio,
    /// The size class used when a call names none.
    pub default_resolution: Resolution,
    /// The largest size class a call may have.
    pub max_resolution: Resolution,
    /// The shapes a call may have; empty means all that the model has.
    pub allowed_aspect_ratios: Vec<AspectRatio>,
    /// How much work the model puts in, where it can be told.
    pub quality: Option<Quality>,
    /// The most images one call may ask for.
    pub max_images_per_call: u32,
    /// The most images a day (UTC), those in flight included; 0 means no limit.
    pub daily_image_limit: u32,
    /// The most credits a month (UTC), open holds included.
    pub monthly_credit_limit: Option<Credits>,
    /// Whether calls may bring reference images.
    pub allow_reference_images: bool,
    /// A text for the language model that decides when to draw.
    pub when_to_use: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Whether the tool can be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// A call would be taken.
    Ready,
    /// Switched off by the builder.
    Disabled,
    /// The builder must do something first; the text says what.
    NeedsConfiguration(String),
}

// === impl Tool ===

impl Tool {
    /// A new tool as the published page wants it: 1K, square, one image, off until a model is
    /// chosen.
    pub const fn new(agent: AgentId, now: Timestamp) -> Self {
        Self {
            agent,
            enabled: false,
            model: None,
            default_aspect_ratio: AspectRatio::SQUARE,
            default_resolution: Resolution::R1K,
            max_resolution: Resolution::R1K,
            allowed_aspect_ratios: Vec::new(),
            quality: None,
            max_images_per_call: 1,
            daily_image_limit: 0,
            monthly_credit_limit: None,
            allow_reference_images: false,
            when_to_use: String::new(),
            created: now,
            updated: now,
        }
    }

    /// What the builder chose, by the names of the contract, for the audit trail.
    pub fn fields(&self) -> [Field; 12] {
        let ratios: Vec<String> = self
            .allowed_aspect_ratios
            .iter()
            .map(ToString::to_string)
            .collect();
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        [
            ("enabled", Some(self.enabled.to_string())),
            ("model", self.model.as_ref().map(ToString::to_string)),
            (
                "default_aspect_ratio",
                Some(self.default_aspect_ratio.to_string()),
            ),
            (
                "default_resolution",
                Some(self.default_resolution.to_string()),
            ),
            ("max_resolution", Some(self.max_resolution.to_string())),
            ("allowed_aspect_ratios", text(ratios.join(" "))),
            ("quality", self.quality.map(|quality| quality.to_string())),
            (
                "max_images_per_call",
                Some(self.max_images_per_call.to_string()),
            ),
            (
                "daily_image_limit",
                Some(self.daily_image_limit.to_string()),
            ),
            (
                "monthly_credit_limit",
                self.monthly_credit_limit.map(|limit| limit.to_string()),
            ),
            (
                "allow_reference_images",
                Some(self.allow_reference_images.to_string()),
            ),
            ("when_to_use", text(self.when_to_use.clone())),
        ]
    }

    /// Whether the builder may save it so.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `MODEL_NOT_FOUND` or `MODEL_UNAVAILABLE`, naming the field.
    pub fn check(&self, catalog: &Catalog, available: bool) -> Result<(), Failure> {
        if !(1..=IMAGES_PER_CALL_MAX).contains(&self.max_images_per_call) {
            let what = format!("must be from 1 to {IMAGES_PER_CALL_MAX}");
            return Err(Failure::invalid("max_images_per_call", what));
        }
        if self.default_resolution > self.max_resolution {
            let what = format!("must not be above max_resolution, {}", self.max_resolution);
            return Err(Failure::invalid("default_resolution", what));
        }
        let allowed = &self.allowed_aspect_ratios;
        let among = |ratio: &AspectRatio| ratio.same_shape(self.default_aspect_ratio);
        if !allowed.is_empty() && !allowed.iter().any(among) {
            let what = "must be one of allowed_aspect_ratios";
            return Err(Failure::invalid("default_aspect_ratio", what));
        }
        match &self.model {
            None if self.enabled => Err(Failure::invalid(
                "model",
                "must be set before the tool can be enabled",
            )),
            None => Ok(()),
            Some(slug) => self.check_model(slug, catalog, available),
        }
    }

    fn check_model(&self, slug: &Slug, catalog: &Catalog, available: bool) -> Result<(), Failure> {
        let Some(model) = catalog.find(slug) else {
            return Err(Failure::model_not_found(slug.as_str()));
        };
        let usable = model.usability(available).into_result(slug).map(|_| ());
        // A tool that is off may keep a model that has become unusable, so that it can be edited.
        if self.enabled { usable } else { Ok(()) }
    }

    /// Whether a call would be taken now. `available` says whether the organization may use the
    /// tool's model.
    pub fn status(&self, catalog: &Catalog, available: bool) -> Status {
        if !self.enabled {
            return Status::Disabled;
        }
        let Some(slug) = &self.model else {
            return Status::NeedsConfiguration("Pick an image model.".to_owned());
        };
        let model = catalog.find(slug);
        let usability = model.map_or(Usability::NotInCatalog, |model| model.usability(available));
        match model {
            Some(model)
                if usability == Usability::Usable
                    && !model.takes().contains(&self.default_resolution) =>
            {
                self.too_small(model)
            }
            _ => Status::with_model(slug, usability),
        }
    }

    /// Every call that names no size would be refused: a larger one is dearer than the builder
    /// chose.
    fn too_small(&self, model: &Model) -> Status {
        let has: Vec<_> = model
            .resolutions()
            .iter()
            .map(|size| size.as_str())
            .collect();
        Status::NeedsConfiguration(format!(
            "{} makes no images as small as {}, it has {}; set default_resolution and \
             max_resolution to one of these, or pick another model.",
            model.slug,
            self.default_resolution,
            has.join(", ")
        ))
    }
}

// === impl Status ===

impl Status {
    /// The status of every tool that is switched on, has chosen this model and a size that it takes.
    pub fn with_model(slug: &Slug, usability: Usability) -> Self {
        match usability.sentence() {
            None => Self::Ready,
            Some(why) => Self::NeedsConfiguration(format!("{slug} {why}; pick another model.")),
        }
    }

    /// The same for an organization with this key: without one that is taken nothing is drawn.
    #[must_use]
    pub fn with_key(self, key: KeyStatus) -> Self {
        match (self, key) {
            (Self::Disabled, _) => Self::Disabled,
            (_, KeyStatus::Invalid) => Self::NeedsConfiguration(
                "OpenRouter refuses the organization's own key; set another one or delete it."
                    .to_owned(),
            ),
            (_, KeyStatus::Platforms) => Self::NeedsConfiguration(
                "What is set as the organization's own OpenRouter key is not its own, but the platform's; set another one or delete it."
                    .to_owned(),
            ),
            (_, KeyStatus::Unreadable) => Self::NeedsConfiguration(
                "The organization's own OpenRouter key can no longer be read; set it once more or delete it."
                    .to_owned(),
            ),
            (status, KeyStatus::Active) => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Reason;
    use crate::domain::job::usable_model;

    /// The price list after a change of its first model, and a tool that has chosen that one.
    fn changed(change: impl FnOnce(&mut Vec<Model>)) -> (Catalog, Tool) {
        let published = Catalog::built_in();
        let mut models: Vec<Model> = published
            .models()
            .iter()
            .map(|model| Model::clone(model))
            .collect();
        let agent = AgentId::parse("painter").expect("an agent");
        let tool = Tool {
            enabled: true,
            model: Some(models[0].slug.clone()),
            ..Tool::new(agent, Timestamp::UNIX_EPOCH)
        };
        change(&mut models);
        (Catalog::new(models, published.as_of), tool)
    }

    fn cause(failure: &Failure) -> &str {
        let mut metadata = failure.metadata.iter();
        let (_, cause) = metadata.find(|(name, _)| name == "cause").expect("a cause");
        cause
    }

    #[test]
    fn whatever_becomes_of_its_model_a_tool_says_so_and_refuses_to_be_called_or_switched_on() {
        type Change = fn(&mut Vec<Model>);
        let cases: [(Usability, bool, Change); 5] = [
            (Usability::NotInCatalog, true, |models| {
                models.remove(0);
            }),
            (Usability::Withdrawn, true, |models| {
                models[0].withdrawn = true;
            }),
            (Usability::TextOnly, true, |models| {
                models[0].capabilities.generates_images = false;
            }),
            (Usability::Unpriced, true, |models| models[0].pricing = None),
            (Usability::NotAvailable, false, |_| {}),
        ];
        for (usability, available, change) in cases {
            let (catalog, tool) = changed(change);
            let Status::NeedsConfiguration(why) = tool.status(&catalog, available) else {
                panic!("{usability:?} leaves the tool ready");
            };
            let sentence = usability.sentence().expect("something is wrong");
            assert!(why.contains(sentence), "{why}");
            let refused = usable_model(&tool, &catalog, available).expect_err("refused");
            assert_eq!(refused.reason, Reason::ModelUnavailable);
            assert_eq!(cause(&refused), usability.cause());
            let refused = tool.check(&catalog, available).expect_err("refused");
            if usability == Usability::NotInCatalog {
                assert_eq!(refused.reason, Reason::ModelNotFound);
            } else {
                assert_eq!(cause(&refused), usability.cause());
            }
        }
    }

    #[test]
    fn a_tool_is_ready_exactly_when_a_call_finds_its_model() {
        for (enabled, has_model, available) in [
            (true, true, true),
            (true, true, false),
            (true, false, true),
            (false, true, true),
            (false, false, false),
        ] {
            let (catalog, tool) = changed(|_| {});
            let tool = Tool {
                enabled,
                model: tool.model.filter(|_| has_model),
                ..tool
            };
            let status = tool.status(&catalog, available);
            assert_eq!(status == Status::Disabled, !enabled);
            assert_eq!(
                status == Status::Ready,
                usable_model(&tool, &catalog, available).is_ok(),
                "{status:?}"
            );
        }
    }

    #[test]
    fn a_tool_whose_size_is_below_all_of_its_model_is_not_ready_and_says_what_there_is() {
        let (catalog, tool) = changed(|models| {
            models[0].parameters.resolutions = vec![Resolution::R2K, Resolution::R4K];
        });
        let at = |size| {
            let tool = Tool {
                default_resolution: size,
                max_resolution: Resolution::R4K,
                ..tool.clone()
            };
            tool.status(&catalog, true)
        };
        let Status::NeedsConfiguration(why) = at(Resolution::R1K) else {
            panic!("every call is refused");
        };
        assert!(why.contains("1K") && why.contains("2K, 4K"), "{why}");
        assert_eq!(at(Resolution::R2K), Status::Ready);
        assert_eq!(at(Resolution::R4K), Status::Ready);
    }

    #[test]
    fn a_tool_that_is_off_may_keep_a_model_that_cannot_be_used() {
        let (catalog, tool) = changed(|models| models[0].withdrawn = true);
        let off = Tool {
            enabled: false,
            ..tool
        };
        off.check(&catalog, true).expect("it can be edited");
        assert_eq!(off.status(&catalog, true), Status::Disabled);
    }
}
