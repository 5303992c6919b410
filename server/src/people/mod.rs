//! People and rights: who exists in a unit, how they are related, and what each of them may see and do.
//!
//! The only place that decides who may see. It holds
//! - the **records** of a unit's ledger that speak of people ([`record`]) and the resident state built
//!   from them ([`Roster`]),
//! - the one table of **rights** ([`rights`]),
//! - the one computation of **entitlements** ([`entitlements`]): which channels a login may see today,
//! - the one **way out** for content ([`show`] for what operations read, [`disclose`] for old entries, the lens for live ones):
//!   full, a bare signal, or nothing; and the **log** of who saw what ([`access_log`]),
//! - the **import** of master data ([`import`]) and an invented municipality to try it on ([`sample`]).
//!
//! It knows the ledger, and nothing of messages, sessions, sockets or HTTP.
//!
//! Invariant: whether somebody may see something of a unit follows from that unit's roster, today's
//! date in Copenhagen and the assurance of the session, and from nothing else. So a change of rights and
//! the next message stand in one order on every node.

pub mod access_log;
mod audience;
mod change;
pub mod day;
mod disclose;
mod entitle;
mod id;
pub mod import;
mod kind;
mod login;
mod recall;
pub mod record;
pub mod rights;
mod roster;
pub mod sample;
mod show;

pub use audience::{
    Assurance, AssuranceLevel, Audience, Lens, Measure, STEP_UP_MS, audience_of,
    audience_of_portals,
};
pub use change::{ChangePeople, INHERIT_BLOCK, InheritedBlock, hand_down, stage};
pub use disclose::{Disclosure, PersonRef, Present, Subject, Viewer, disclose, measure, renewed};
pub use entitle::{Entitlement, Scope, Sight, Word, entitled, entitlements, sights};
pub use id::{GroupId, IdError, InboxId, ObjectId, PersonId, ProfileId, SubjectId, UnitCode};
pub use kind::{
    AdministratorScope, Duty, GroupKind, MembershipKind, PortalRole, RelationKind, Role, UnitKind,
    UserKind,
};
pub use login::LoginRole;
pub use recall::{RECALL_MAX, Recalled, Shown, recall};
pub use record::Profile;
pub(crate) use roster::channel;
pub use roster::{Change, Roster};
pub use show::{Thing, lens_of, lens_on, show, show_own};
