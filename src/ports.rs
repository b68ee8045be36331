//! Everything the gateway can do to the world. The rooms `store` and `openrouter` keep these
//! promises; `generate` and `grpc` rely on nothing else.
//!
//! | port | what it is |
//! |--|--|
//! | [`Ledger`] | the books: holds, charges and the stages between |
//! | [`Upkeep`] | the same books, as the recovery sees them |
//! | [`Records`] | what was, in pages and sums |
//! | [`Settings`] | organizations, their keys and their tools |
//! | [`OpenRouterKeys`] | organizations' own keys at OpenRouter, sealed |
//! | [`Lister`], [`PriceStore`] | whoever tells prices, and whoever keeps them |
//! | [`Gallery`], [`Canvas`], [`ImageSource`] | where pictures are kept, written and read |
//! | [`ImageProvider`], [`Drawing`] | whoever draws, and an answer as it arrives |
//! | [`ReferenceFetcher`] | whoever brings pictures that a caller has only named |

mod gallery;
mod inspection;
mod ledger;
mod openrouter_keys;
mod prices;
mod provider;
mod records;
mod references;
mod settings;
mod upkeep;

pub use gallery::{Canvas, Gallery, GalleryError, ImageSource};
pub use inspection::{
    AuditProgress, Chain, Day, Extent, Finding, Head, Heads, Item, KeptHeads, KnownCall, Paper,
    PictureCheck, PlatformHead, Stand,
};
pub use ledger::{
    Delivery, HoldOutcome, Ledger, LedgerEntry, LedgerError, Limits, Opening, Purchase, Purchased,
    Settlement, Voiding, Which,
};
pub use openrouter_keys::{KeyNote, OpenRouterKey, OpenRouterKeys};
pub use prices::{ChangePlace, KeptList, ListError, ListUpdate, Lister, PriceStore};
pub use provider::{
    Bill, Billed, DrawCause, DrawError, DrawEvent, Drawing, ImageProvider, KeyRecord, Order,
    Receipt, ReferenceImage, UpstreamKey,
};
pub use records::{
    ActorId, AuditEntry, AuditFilter, EntryFilter, GROUPS_MAX, GenerationFilter, Period, Records,
    Seen, Usage, UsageBy, UsageQuery, UsageRow,
};
pub use references::{FetchError, ReferenceFetcher, Room};
pub use settings::{
    Agents, ApiKey, KeyHash, LAST_USED_EVERY, Organization, Role, Settings, SettingsError,
    StatusFilter, ToolFilter,
};
pub use upkeep::{
    Answer, Asking, Case, Disagreement, Expired, OwnKey, ToldCall, Unchecked, Upkeep,
};
