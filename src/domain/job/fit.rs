//! Bending a request to what the tool and the model can do, never to something dearer
//! (`domain.md` C32).

use super::ImageRequest;
use crate::domain::catalog::Model;
use crate::domain::failure::Failure;
use crate::domain::generation::Adjustment;
use crate::domain::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution};
use crate::domain::tool::Tool;

/// Bends a request to what the tool and the model can do, and keeps a record of it.
pub(super) struct Fitting<'a> {
    pub(super) request: &'a ImageRequest,
    pub(super) tool: &'a Tool,
    pub(super) model: &'a Model,
    pub(super) adjustments: &'a mut Vec<Adjustment>,
}

impl Fitting<'_> {
    /// The next lower size class that both have; never a higher one, which would be dearer.
    pub(super) fn resolution(&mut self) -> Result<Resolution, Failure> {
        let wanted = self
            .request
            .resolution
            .unwrap_or(self.tool.default_resolution);
        let ceiling = wanted.min(self.tool.max_resolution);
        let offered = self.model.resolutions();
        let Some(used) = offered
            .iter()
            .rev()
            .find(|offer| **offer <= ceiling)
            .copied()
        else {
            let names: Vec<_> = offered.iter().map(|offer| offer.as_str()).collect();
            let what = format!(
                "cannot be {wanted}: {} has {}, and a larger one would cost more than was asked for",
                self.model.name,
                names.join(", ")
            );
            return Err(Failure::invalid("resolution", what));
        };
        if used != wanted {
            let reason = if ceiling < wanted {
                format!("the tool allows at most {}", self.tool.max_resolution)
            } else {
                "the model does not have it".to_owned()
            };
            self.note("resolution", &wanted.to_string(), &used.to_string(), reason);
        }
        Ok(used)
    }

    /// The nearest shape that both have. Shapes of one size class cost the same.
    pub(super) fn aspect_ratio(&mut self) -> AspectRatio {
        let wanted = self
            .request
            .aspect_ratio
            .unwrap_or(self.tool.default_aspect_ratio);
        let model = &self.model.parameters.aspect_ratios;
        if model.is_empty() {
            if self
                .request
                .aspect_ratio
                .is_some_and(|ratio| !ratio.same_shape(AspectRatio::SQUARE))
            {
                let reason = "the model cannot be told a shape";
                self.note("aspect_ratio", &wanted.to_string(), "", reason);
            }
            return wanted;
        }
        let allowed = &self.tool.allowed_aspect_ratios;
        let both: Vec<_> = model
            .iter()
            .copied()
            .filter(|ratio| allowed.is_empty() || allowed.iter().any(|a| a.same_shape(*ratio)))
            .collect();
        let candidates = if both.is_empty() { model } else { &both };
        let used = wanted.nearest(candidates).unwrap_or(wanted);
        if !used.same_shape(wanted) {
            let reason = if model.iter().any(|ratio| ratio.same_shape(wanted)) {
                "the tool does not allow it"
            } else {
                "the model does not have it"
            };
            self.note(
                "aspect_ratio",
                &wanted.to_string(),
                &used.to_string(),
                reason,
            );
        }
        used
    }

    /// The next lower level of work that the model has; never a higher one, which would be dearer.
    /// Where there is none the model decides.
    pub(super) fn quality(&mut self) -> Option<Quality> {
        let wanted = self.tool.quality?;
        let levels = self.model.parameters.qualities.iter().copied();
        let of_use = levels.filter(|level| *level == wanted || *level != Quality::Auto);
        let used = of_use.filter(|level| *level <= wanted).max();
        if used != Some(wanted) && wanted != Quality::Auto {
            let instead = used.map_or("", Quality::as_str);
            self.note(
                "quality",
                wanted.as_str(),
                instead,
                "the model does not have it",
            );
        }
        used
    }

    pub(super) fn output_format(&mut self) -> Option<OutputFormat> {
        let wanted = self.request.output_format?;
        if self.model.parameters.output_formats.contains(&wanted) {
            return Some(wanted);
        }
        self.note(
            "output_format",
            wanted.as_str(),
            "",
            "the model decides its format",
        );
        None
    }

    pub(super) fn background(&mut self) -> Option<Background> {
        let wanted = self.request.background?;
        if self.model.parameters.backgrounds.contains(&wanted) {
            return Some(wanted);
        }
        if wanted != Background::Auto {
            self.note(
                "background",
                wanted.as_str(),
                "",
                "the model does not have it",
            );
        }
        None
    }

    pub(super) fn seed(&mut self) -> Option<i64> {
        let wanted = self.request.seed?;
        if self.model.parameters.seed {
            return Some(wanted);
        }
        self.note("seed", &wanted.to_string(), "", "the model takes no seed");
        None
    }

    fn note(&mut self, field: &str, requested: &str, used: &str, reason: impl Into<String>) {
        self.adjustments.push(Adjustment {
            field: field.to_owned(),
            requested: requested.to_owned(),
            used: used.to_owned(),
            reason: reason.into(),
        });
    }
}
