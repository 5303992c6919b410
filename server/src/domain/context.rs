//! What an operation has at hand: who calls, today's date, the roster, and the view of the ledger.

use std::ops::{Deref, DerefMut};

use jiff::civil::Date;

use super::error;
use crate::ledger::{Actor, Refusal, View};
use crate::people::rights::{Action, Reach, permit};
use crate::people::{
    Assurance, Entitlement, Lens, ObjectId, Profile, ProfileId, Roster, Scope, SubjectId, Viewer,
    day, lens_of,
};
use crate::telemetry::Count;

/// Through which door a call came, for the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// RPC over a socket.
    Rpc,
    /// REST.
    Rest,
    /// The server API, for back ends.
    Api,
    /// The command line.
    Cli,
    /// Another ledger's outbox.
    Outbox,
    /// The server itself.
    Server,
}

impl Door {
    /// Every door.
    pub(super) const ALL: [Self; 6] = [
        Self::Rpc,
        Self::Rest,
        Self::Api,
        Self::Cli,
        Self::Outbox,
        Self::Server,
    ];

    /// As the commit records it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Rest => "rest",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Outbox => "outbox",
            Self::Server => "server",
        }
    }
}

/// Who calls, as the door has verified it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The login; `None` for the server itself, its outbox and the command line.
    pub subject: Option<SubjectId>,
    /// How sure we are of them, now.
    pub assurance: Assurance,
    /// Which of their profiles they may act as in this session.
    pub scope: Scope,
    /// The door.
    pub door: Door,
    /// The version of the record that the caller has read (`If-Match`), when they said so.
    pub version: Option<u64>,
    /// Channels of units above their own that their own unit lets them see. Filled in by [`super::Domain`], which asked
    /// that unit's ledger; never by a door.
    pub admitted: Vec<Entitlement>,
    /// Counts what is withheld from them. Filled in by [`super::Domain`] too.
    pub withheld: Count,
}

impl Caller {
    /// A person with a verified login.
    #[must_use]
    pub fn person(subject: SubjectId, assurance: Assurance, door: Door) -> Self {
        Self {
            subject: Some(subject),
            assurance,
            scope: Scope::ALL,
            door,
            version: None,
            admitted: Vec::new(),
            withheld: Count::default(),
        }
    }

    /// The same, held to some of their profiles.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The server itself, at one of its own doors.
    #[must_use]
    pub fn server(door: Door) -> Self {
        Self {
            subject: None,
            assurance: Assurance::default(),
            scope: Scope::ALL,
            door,
            version: None,
            admitted: Vec::new(),
            withheld: Count::default(),
        }
    }

    /// As the commit records it.
    #[must_use]
    pub fn actor(&self, profile: Option<&ProfileId>) -> Actor {
        Actor {
            subject: self.subject.as_ref().map_or("", SubjectId::as_str).into(),
            profile: profile.map(|profile| profile.to_string().into()),
            door: self.door.as_str().into(),
        }
    }
}

/// An operation's surroundings. It is the ledger's view with the caller beside it.
pub struct Context<'a, 'v> {
    view: &'a mut View<'v, Roster>,
    caller: &'a Caller,
    today: Date,
}

impl<'v> Deref for Context<'_, 'v> {
    type Target = View<'v, Roster>;
    fn deref(&self) -> &Self::Target {
        self.view
    }
}

impl DerefMut for Context<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.view
    }
}

impl<'a, 'v> Context<'a, 'v> {
    /// Puts view and caller together.
    #[must_use]
    pub fn new(view: &'a mut View<'v, Roster>, caller: &'a Caller) -> Self {
        let today = day::day_at(view.now_ms());
        Self {
            view,
            caller,
            today,
        }
    }

    /// Who calls.
    #[must_use]
    pub const fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The unit's roster.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        self.view.state()
    }

    /// Today in Copenhagen.
    #[must_use]
    pub const fn today(&self) -> Date {
        self.today
    }

    /// Whether a profile belongs to the unit of this ledger.
    #[must_use]
    pub fn is_own_unit(&self, id: &ProfileId) -> bool {
        id.unit().as_str() == self.view.ledger().as_str()
    }

    /// The acting profile as a viewer of what is addressed to it.
    ///
    /// # Errors
    /// As [`Context::acting`].
    pub fn viewer(&self, id: &ProfileId) -> Result<Viewer, Refusal> {
        let profile = self.acting(id)?;
        self.viewer_through(id, lens_of(profile, self.caller.assurance))
    }

    /// The caller as a viewer through a lens that `people` gave.
    ///
    /// # Errors
    /// `not_signed_in` without a login.
    pub fn viewer_through(&self, id: &ProfileId, lens: Lens) -> Result<Viewer, Refusal> {
        let subject = self.caller.subject.clone();
        let subject = subject.ok_or_else(|| error::NOT_SIGNED_IN.refuse(""))?;
        Ok(Viewer {
            profile: Some(id.clone()),
            withheld: self.caller.withheld.clone(),
            ..Viewer::new(subject, lens, self.view.now_ms())
        })
    }

    /// The acting profile, if it is the caller's and holds today.
    ///
    /// # Errors
    /// `profile_not_yours` otherwise; `not_signed_in` without a login.
    pub fn acting(&self, id: &ProfileId) -> Result<&Profile, Refusal> {
        let subject = self
            .caller
            .subject
            .as_ref()
            .ok_or_else(|| error::NOT_SIGNED_IN.refuse(""))?;
        let own = self.roster().own_profile(subject, id, self.today);
        let own = own.filter(|_| self.caller.scope.admits(id));
        own.ok_or_else(|| error::PROFILE_NOT_YOURS.refuse(""))
    }

    /// How far the acting profile may do `action` now.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn permit(&self, id: &ProfileId, action: Action) -> Result<Reach, Refusal> {
        let profile = self.acting(id)?;
        let reach = permit(
            self.roster(),
            profile,
            action,
            self.caller.assurance,
            self.view.now_ms(),
        )?;
        Ok(reach)
    }

    /// Refuses when the caller has read another version than the present one.
    ///
    /// # Errors
    /// `version_changed`.
    pub fn expect_version(&self, present: u64) -> Result<(), Refusal> {
        match self.caller.version {
            Some(version) if version != present => Err(error::VERSION_CHANGED.refuse("")),
            _ => Ok(()),
        }
    }

    /// Refuses everyone but the server itself; for internal operations.
    ///
    /// # Errors
    /// `not_allowed`.
    pub fn only_server(&self) -> Result<(), Refusal> {
        if self.caller.subject.is_some() {
            Err(error::NOT_ALLOWED.refuse(""))
        } else {
            Ok(())
        }
    }
}
