//! Reference images: their heads are looked at before anything else happens, so that a bad one costs
//! nothing. What goes upstream is what was sent, byte for byte: it is not decoded here.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::domain::failure::Failure;
use crate::domain::generation::{MediaType, SourceImage};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::job::{REFERENCES_MAX, ReferenceFacts};
use crate::domain::media::{self, MEGAPIXELS_MAX, NotTaken, SIDE_MAX};
use crate::domain::shape::PixelSize;
use crate::generate::{Errand, Reference, internal, no_room};
use crate::grpc::Service;
use crate::grpc::body::{Share, overloaded};
use crate::ports::{
    FetchError, FetchPlace, GalleryError, ImageSource, ReferenceFetcher, ReferenceImage, Room,
    Which,
};
use crate::proto;
use crate::proto::reference_image::Source;

/// Bytes of one reference image (`api.md`, Limits).
const BYTES_MAX: usize = 10 * 1024 * 1024;

/// What is asked of an address that cannot be fetched, whatever the cause: nobody shall learn from
/// the words what is at a place that only the gateway can see.
const UNREACHABLE: &str = "cannot be fetched: its url must lead to a public https server that \
                           answers promptly, with the picture itself and not with a redirect";

/// What is asked of an address behind which there is something else.
const NOT_A_PICTURE: &str = "has a url that does not lead to a PNG, JPEG, WebP or GIF; use the \
                             address of the picture itself, not of a page that shows it";

/// A reference that came with the request. Holds its share of what may be in flight.
#[derive(Debug)]
struct Sent {
    bytes: Bytes,
    _share: Option<Arc<Share>>,
}

/// A reference that is somewhere else, and the room its bytes will take.
struct Away {
    fetcher: Arc<dyn ReferenceFetcher>,
    url: String,
    position: usize,
    share: Option<Arc<Share>>,
}

/// Without a share nothing counts: no server hands out a request that was not counted.
impl Room for Option<Arc<Share>> {
    fn take(&self, bytes: usize) -> bool {
        self.as_ref().is_none_or(|share| share.take(bytes))
    }
}

impl fmt::Debug for Away {
    /// Without the address, which may hold a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Away").finish_non_exhaustive()
    }
}

#[async_trait]
impl Errand for Away {
    async fn run(&self, place: FetchPlace) -> Result<(PixelSize, ReferenceImage), Failure> {
        let fetched = self.fetcher.fetch(&self.url, &self.share, place).await;
        let bytes = fetched.map_err(|error| not_fetched(self.position, error))?;
        let (facts, image) = looked_at(self.position, bytes, self.share.clone()).await?;
        Ok((facts.pixels, image))
    }
}

#[async_trait]
impl ImageSource for Sent {
    async fn read(&self, offset: u64, limit: usize) -> Result<Bytes, GalleryError> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let end = start.saturating_add(limit).min(self.bytes.len());
        Ok(self.bytes.slice(start..end))
    }
}

impl Service {
    /// What each reference is, and where its bytes are or are to be had.
    pub(super) async fn references(
        &self,
        organization: &OrganizationId,
        sent: Vec<proto::ReferenceImage>,
        share: Option<Arc<Share>>,
    ) -> Result<Vec<(ReferenceFacts, Reference)>, Failure> {
        let most = usize::try_from(REFERENCES_MAX).unwrap_or(usize::MAX);
        if sent.len() > most {
            let what = format!("is one too many: a call takes at most {most}");
            return Err(Failure::reference_invalid(most, what));
        }
        let mut references = Vec::with_capacity(sent.len());
        for (position, reference) in sent.into_iter().enumerate() {
            let here = match reference.source {
                Some(Source::Data(bytes)) => looked_at(position, bytes, share.clone()).await?,
                Some(Source::Generated(image)) => {
                    self.made_here(organization, position, &image).await?
                }
                Some(Source::Url(url)) => {
                    references.push(self.elsewhere(position, url, share.clone())?);
                    continue;
                }
                None => {
                    let what = "must have data, url or generated";
                    return Err(Failure::reference_invalid(position, what));
                }
            };
            references.push((here.0, Reference::Here(here.1)));
        }
        Ok(references)
    }

    /// A picture that is named by its address: fetched later, if it comes to that.
    fn elsewhere(
        &self,
        position: usize,
        url: String,
        share: Option<Arc<Share>>,
    ) -> Result<(ReferenceFacts, Reference), Failure> {
        let fetcher = Arc::clone(&self.parts.fetcher);
        fetcher
            .check(&url)
            .map_err(|error| not_fetched(position, error))?;
        let facts = ReferenceFacts::by_url(&url);
        let away = Away {
            fetcher,
            url,
            position,
            share,
        };
        Ok((facts, Reference::Elsewhere(Arc::new(away))))
    }

    /// A picture this organization has made before.
    async fn made_here(
        &self,
        organization: &OrganizationId,
        position: usize,
        image: &proto::GeneratedImage,
    ) -> Result<(ReferenceFacts, ReferenceImage), Failure> {
        let unknown =
            || Failure::reference_invalid(position, "names no image of this organization");
        let id = GenerationId::parse(&image.generation_id).ok_or_else(unknown)?;
        let index = u32::try_from(image.index).map_err(|_| unknown())?;
        let found = self
            .parts
            .ledger
            .generation(organization, &Which::Id(id))
            .await;
        let found = found.map_err(internal)?.ok_or_else(unknown)?;
        let kept = found
            .images
            .iter()
            .find(|kept| kept.index == index)
            .ok_or_else(unknown)?;
        let source = self.parts.gallery.open(&kept.object_name).await;
        let source = source.map_err(|error| match error {
            GalleryError::Gone => {
                Failure::reference_invalid(position, "names an image that is no longer kept")
            }
            other => no_room(other),
        })?;
        let from = Some(SourceImage {
            generation: id,
            index,
        });
        let facts = ReferenceFacts {
            sha256: kept.sha256,
            pixels: kept.pixels,
            from,
        };
        let reference = ReferenceImage {
            media_type: kept.media_type,
            size_bytes: kept.size_bytes,
            source,
            from,
        };
        Ok((facts, reference))
    }
}

/// Why a picture that is somewhere else did not come, as its caller may know it.
fn not_fetched(position: usize, error: FetchError) -> Failure {
    match error {
        FetchError::Address(what) => Failure::reference_invalid(position, what),
        FetchError::Unreachable => Failure::reference_invalid(position, UNREACHABLE),
        FetchError::NotAPicture => Failure::reference_invalid(position, NOT_A_PICTURE),
        FetchError::TooLarge { size_bytes } => {
            Failure::reference_too_large(position, size_bytes, BYTES_MAX)
        }
        FetchError::Overloaded => overloaded(),
    }
}

/// A picture that came with the request, or was fetched: its bytes say what it is.
async fn looked_at(
    position: usize,
    bytes: Bytes,
    share: Option<Arc<Share>>,
) -> Result<(ReferenceFacts, ReferenceImage), Failure> {
    if bytes.len() > BYTES_MAX {
        return Err(Failure::reference_too_large(
            position,
            bytes.len(),
            BYTES_MAX,
        ));
    }
    let seen = media::inspect(&bytes);
    let (media_type, pixels) = seen.map_err(|why| not_taken(position, why))?;
    let (bytes, sha256) = hashed(bytes).await?;
    let facts = ReferenceFacts {
        sha256,
        pixels,
        from: None,
    };
    Ok((facts, reference(media_type, bytes, share)))
}

/// Why bytes are not taken as a picture, as their sender may know it.
fn not_taken(position: usize, why: NotTaken) -> Failure {
    let what = match why {
        NotTaken::Unknown => "is not a PNG, JPEG, WebP or GIF".to_owned(),
        NotTaken::TooManyPixels => format!(
            "has more pixels than are taken: at most {SIDE_MAX} a side and {MEGAPIXELS_MAX} megapixels"
        ),
    };
    Failure::reference_invalid(position, what)
}

/// Hashing ten megabytes takes milliseconds: not on a thread that serves others.
async fn hashed(bytes: Bytes) -> Result<(Bytes, [u8; 32]), Failure> {
    let work = move || {
        let digest = Sha256::digest(&bytes).into();
        (bytes, digest)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Failure::internal())
}

fn reference(media_type: MediaType, bytes: Bytes, share: Option<Arc<Share>>) -> ReferenceImage {
    ReferenceImage {
        media_type,
        size_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        source: Arc::new(Sent {
            bytes,
            _share: share,
        }),
        from: None,
    }
}
