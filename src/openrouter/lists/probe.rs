//! The readers of the lists as a fuzzer drives them: bytes in, what is listed out. Nothing is
//! decided here. Not part of a normal build.

use std::collections::HashMap;
use std::sync::Arc;

use super::joining::join;
use super::reading::{Endpoints, ImageModels, ModelPage, Part};
use crate::domain::listing::{Listed, Offer};

/// The models of a page of `GET /models`; `None` if it is none.
pub(crate) fn models(body: &[u8]) -> Option<Vec<Listed>> {
    Some(ModelPage::read(body).ok()?.models)
}

/// The models of `GET /images/models`; `None` if it is none.
pub(crate) fn image_models(body: &[u8]) -> Option<Vec<Listed>> {
    Some(ImageModels::read(body).ok()?.models)
}

/// What the endpoints of a model offer; `None` if there are none to be read.
pub(crate) fn endpoints(body: &[u8]) -> Option<Offer> {
    let Endpoints { parameters, lines } = Endpoints::read(body).ok()?;
    Some(Offer {
        lines,
        ..parameters.unwrap_or_default()
    })
}

/// The whole list, all of its image models with the same endpoints.
pub(crate) fn whole(models: &[Listed], image_models: &[Listed], endpoints: &[u8]) -> Vec<Listed> {
    let told = Endpoints::read(endpoints).ok().map(Arc::new);
    let told = image_models
        .iter()
        .map(|model| (model.slug.clone(), told.clone()));
    let told: HashMap<_, _> = told.collect();
    join(models.iter(), image_models, &told)
}
