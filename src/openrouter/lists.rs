//! The lists: [`Lister`] with OpenRouter. Three kinds of answers become one list: `GET /models`,
//! `GET /images/models`, and for each model of the latter the prices of its endpoints.
//!
//! Nothing is bought here and nothing is secret, so the key stays at home unless whoever answers
//! asks for it with 401: a list without a key is the same for everybody, and comes from
//! OpenRouter's edge. An address that does want the key gets it for the rest of that list.
//!
//! All or nothing: a list of which a part is missing would look as if models had been withdrawn.
//! What was read with an `ETag` is asked for conditionally the next time. It is kept once a list is
//! whole, replaces all that was kept before, and is bounded as a list is.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::Config;
use super::client::{http, url};
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;
use crate::ports::{ListError, Lister};

use joining::join;
use reading::{Endpoints, ImageModels, MODELS_MAX, ModelPage};
use source::{Failed, Question, Source, Verdict, Version};

mod joining;
mod parameters;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod probe;
mod raw;
mod reading;
mod source;

/// How long a list may take, with all its requests and all their tries.
const PATIENCE: Duration = Duration::from_secs(60);

/// Endpoints asked for at once: some 60 models in a second or two, and no burden to anybody.
const AT_ONCE: usize = 8;

/// Models asked for at once; the most that OpenRouter gives.
const PAGE_MODELS: usize = 1_000;

/// The most pages. Five are enough for the most models; a server that makes them smaller is
/// followed for a while.
const PAGES_MAX: usize = 20;

/// The most models whose endpoints are asked for: more could not be told in time.
const IMAGE_MODELS_MAX: usize = 1_000;

/// The most bytes of all pages of `GET /models`, which had some 2 MB in 2026.
const MODELS_BYTES_MAX: usize = 32 << 20;

/// The most bytes of `GET /images/models`.
const IMAGE_MODELS_BYTES_MAX: usize = 16 << 20;

/// The most bytes of the endpoints of one model; the longest sample has 2 KB.
const ENDPOINTS_BYTES_MAX: usize = 1 << 20;

/// OpenRouter's lists.
#[derive(Debug)]
pub struct Lists {
    config: Config,
    http: reqwest::Client,
    /// [`PATIENCE`], or less in tests.
    pub(super) patience: Duration,
    kept: Mutex<Arc<Kept>>,
}

/// The parts of the last list that have a name, by what was asked for.
#[derive(Debug, Default)]
struct Kept {
    /// By offset.
    pages: HashMap<usize, Version<ModelPage>>,
    image_models: Option<Version<ImageModels>>,
    endpoints: HashMap<Slug, Version<Endpoints>>,
}

/// One list in the making.
struct Run<'a> {
    source: Source<'a>,
    before: Arc<Kept>,
}

/// The pages of `GET /models`, by offset.
type Pages = Vec<(usize, Version<ModelPage>)>;

impl Lists {
    /// Lists from this address, with an empty pool of connections.
    ///
    /// # Errors
    /// If the address is no URL, or TLS cannot be set up.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        let http = http(&config)?;
        // The address is tried now rather than at the first list.
        http.get(url(&config, "models")).build()?;
        Ok(Self {
            config,
            http,
            patience: PATIENCE,
            kept: Mutex::default(),
        })
    }

    fn kept(&self) -> Arc<Kept> {
        let kept = self.kept.lock();
        Arc::clone(&kept.unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(kept);
    }
}

#[async_trait]
impl Lister for Lists {
    async fn list(&self) -> Result<Vec<Listed>, ListError> {
        let run = Run {
            source: Source::new(&self.config, &self.http),
            before: self.kept(),
        };
        let told = timeout(self.patience, run.whole()).await;
        let (list, kept) = told.map_err(|_| ListError::TimedOut(self.patience))??;
        self.keep(kept);
        Ok(list)
    }
}

// === impl Run ===

impl Run<'_> {
    async fn whole(&self) -> Result<(Vec<Listed>, Kept), ListError> {
        let (pages, image_models) = tokio::try_join!(self.pages(), self.image_models())?;
        let endpoints = self.all_endpoints(&image_models.part).await?;
        let parts = endpoints.iter().map(|(slug, version)| {
            let part = version.as_ref().map(|version| Arc::clone(&version.part));
            (slug.clone(), part)
        });
        let models = pages.iter().flat_map(|(_, page)| &page.part.models);
        let list = join(models, &image_models.part.models, &parts.collect());
        Ok((list, Kept::of(pages, image_models, endpoints)))
    }

    /// Page after page until one is short. A page that brings nothing new is the last as well: its
    /// server does not know pages.
    async fn pages(&self) -> Result<Pages, ListError> {
        let mut pages = Pages::new();
        let mut seen: HashSet<Slug> = HashSet::new();
        let mut offset = 0;
        let mut bytes_left = MODELS_BYTES_MAX;
        loop {
            let page = self.page(offset, bytes_left).await?;
            bytes_left = bytes_left.saturating_sub(page.size_bytes);
            let known = seen.len();
            seen.extend(page.part.models.iter().map(|model| model.slug.clone()));
            let end = offset + page.part.records;
            let last = seen.len() == known || !page.part.has_next(end);
            pages.push((offset, page));
            if seen.len() > MODELS_MAX || (!last && pages.len() == PAGES_MAX) {
                let detail = format!("{} models on {} pages", seen.len(), pages.len());
                return Err(ListError::Malformed(detail));
            }
            if last {
                // A page that repeats what is known adds nothing to what was shown.
                let shown = if seen.len() == known { offset } else { end };
                return whole(pages, shown);
            }
            offset = end;
        }
    }

    async fn page(&self, offset: usize, bytes_max: usize) -> Result<Version<ModelPage>, ListError> {
        // Without `output_modalities` only models that write text are told.
        let path = format!("models?output_modalities=all&limit={PAGE_MODELS}&offset={offset}");
        let question = Question {
            path: &path,
            bytes_max,
            before: self.before.pages.get(&offset),
        };
        self.source.ask(&question).await.map_err(Failed::into_error)
    }

    /// The image models; none if whoever answers has no such list, and makes pictures by chat alone.
    async fn image_models(&self) -> Result<Version<ImageModels>, ListError> {
        let question = Question {
            path: "images/models",
            bytes_max: IMAGE_MODELS_BYTES_MAX,
            before: self.before.image_models.as_ref(),
        };
        match self.source.ask(&question).await {
            Err(failed) if failed.verdict == Verdict::NotThere => Ok(Version::nothing()),
            told => told.map_err(Failed::into_error),
        }
    }

    async fn all_endpoints(
        &self,
        image_models: &ImageModels,
    ) -> Result<HashMap<Slug, Option<Version<Endpoints>>>, ListError> {
        let slugs = image_models.models.iter().map(|model| &model.slug);
        let slugs: HashSet<&Slug> = slugs.collect();
        if slugs.len() > IMAGE_MODELS_MAX {
            let detail = format!("{} image models", slugs.len());
            return Err(ListError::Malformed(detail));
        }
        let asked: Vec<_> = slugs.into_iter().map(|slug| self.endpoints(slug)).collect();
        stream::iter(asked)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The endpoints of a model; none if upstream has none for it.
    async fn endpoints(
        &self,
        slug: &Slug,
    ) -> Result<(Slug, Option<Version<Endpoints>>), ListError> {
        if !is_path(slug) {
            return Ok((slug.clone(), None));
        }
        let question = Question {
            path: &format!("images/models/{slug}/endpoints"),
            bytes_max: ENDPOINTS_BYTES_MAX,
            before: self.before.endpoints.get(slug),
        };
        match self.source.ask(&question).await {
            Ok(version) => Ok((slug.clone(), Some(version))),
            Err(failed) if failed.verdict == Verdict::NotThere => Ok((slug.clone(), None)),
            Err(failed) => Err(failed.naming(slug)),
        }
    }
}

/// The pages, if so many records are all that their server says it has.
fn whole(pages: Pages, records: usize) -> Result<Pages, ListError> {
    let totals = pages.iter().filter_map(|(_, page)| page.part.total);
    match totals.max() {
        Some(total) if total > records => {
            let detail = format!("{records} of {total} models");
            Err(ListError::Malformed(detail))
        }
        _ => Ok(pages),
    }
}

/// Whether it is an author and a name, neither of which would lead elsewhere in an address.
fn is_path(slug: &Slug) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('/');
    let parts = slug.as_str().split_once('/');
    parts.is_some_and(|(author, name)| is_name(author) && is_name(name))
}

// === impl ModelPage ===

impl ModelPage {
    /// Whether there is more behind so many records, as far as it can be told: it is full, or says
    /// so itself, as one of a server would that makes shorter pages than it was asked for.
    fn has_next(&self, end: usize) -> bool {
        let told = self.total.is_some_and(|total| total > end);
        self.records >= PAGE_MODELS || told || self.names_next
    }
}

// === impl Kept ===

impl Kept {
    fn of(
        pages: Pages,
        image_models: Version<ImageModels>,
        endpoints: HashMap<Slug, Option<Version<Endpoints>>>,
    ) -> Self {
        let endpoints = endpoints.into_iter();
        let told = endpoints.filter_map(|(slug, version)| Some((slug, version?)));
        Self {
            pages: pages
                .into_iter()
                .filter(|(_, page)| page.is_named())
                .collect(),
            image_models: Some(image_models).filter(Version::is_named),
            endpoints: told.filter(|(_, version)| version.is_named()).collect(),
        }
    }
}

// === impl Version ===

impl<T: Default> Version<T> {
    /// What is read where there is nothing.
    fn nothing() -> Self {
        Self {
            part: Arc::default(),
            etag: None,
            size_bytes: 0,
        }
    }
}

impl<T> Version<T> {
    const fn is_named(&self) -> bool {
        self.etag.is_some()
    }
}

// === impl Failed ===

impl Failed {
    fn into_error(self) -> ListError {
        self.error
    }

    /// The error, with the model whose endpoints were asked for.
    fn naming(self, slug: &Slug) -> ListError {
        match self.error {
            ListError::Unavailable(detail) => ListError::Unavailable(format!("{slug}: {detail}")),
            ListError::Malformed(detail) => ListError::Malformed(format!("{slug}: {detail}")),
            timed_out @ ListError::TimedOut(_) => timed_out,
        }
    }
}
