//! The one table of errors that operations give: code, message key, HTTP status, and what people read, Danish first.
//!
//! Codes are stable and lie in the range that the client protocol leaves to applications (400 to 1999). The rule for
//! the status: 400 the input does not fit its schema, 403 rights, 404 not there (or not for you to know),
//! 409 it does not fit what is, 410 it was there and was taken back, 412 the record moved on.

use crate::ledger::Refusal;
use crate::people::rights::Denied;

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The stable number on the wire.
    pub code: u32,
    /// The stable key under which clients keep their own texts.
    pub key: &'static str,
    /// The HTTP status of the REST door.
    pub status: u16,
    /// Whether the same call may work later.
    pub temporary: bool,
    /// What people read.
    pub danish: &'static str,
    /// The same in English.
    pub english: &'static str,
    /// What a developer should do about it.
    pub remedy: &'static str,
}

impl ErrorCode {
    /// The refusal that an operation returns. `detail` is for developers and holds no content.
    #[must_use]
    pub fn refuse(&self, detail: &str) -> Refusal {
        let detail = if detail.is_empty() {
            self.remedy
        } else {
            detail
        };
        Refusal {
            code: self.code,
            key: self.key,
            detail: detail.to_owned(),
            temporary: self.temporary,
        }
    }
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal $key:literal $status:literal $temporary:literal $danish:literal $english:literal $remedy:literal;)+) => {
        $(
            $(#[$doc])*
            pub static $name: ErrorCode = ErrorCode {
                code: $code, key: $key, status: $status, temporary: $temporary,
                danish: $danish, english: $english, remedy: $remedy,
            };
        )+
        /// Every row, in order of code.
        pub static ALL: &[&ErrorCode] = &[$(&$name),+];
    };
}

errors! {
    /// The input is not JSON, or does not fit its schema.
    INVALID_INPUT = 400 "error.invalid_input" 400 false
        "Forespørgslen kunne ikke læses." "The request could not be read."
        "compare the input with the schema in /openapi.json";
    /// No valid login.
    NOT_SIGNED_IN = 401 "error.not_signed_in" 401 false
        "Du skal logge ind." "You must sign in."
        "connect or call with a valid token";
    /// The profile's kind has no such right.
    NOT_ALLOWED = 403 "error.not_allowed" 403 false
        "Det har du ikke adgang til." "You may not do that."
        "ask an administrator of the unit; the rights table says which kinds may";
    /// There is no such thing, or it is not for the caller to know.
    NOT_FOUND = 404 "error.not_found" 404 false
        "Det findes ikke, eller du har ikke adgang til det." "It does not exist, or you may not see it."
        "check the id, and that the acting profile takes part";
    /// No operation of this name.
    UNKNOWN_OPERATION = 405 "error.unknown_operation" 404 false
        "Funktionen findes ikke." "There is no such function."
        "see /openapi.json for the operations of this server";
    /// The idempotency key came before with other input.
    IDEMPOTENCY_CONFLICT = 409 "error.idempotency_conflict" 409 false
        "Handlingen er allerede udført med et andet indhold." "This was already done with different content."
        "use a new idempotency key for each new action";
    /// The record changed since the caller read it.
    VERSION_CHANGED = 412 "error.version_changed" 412 false
        "Det er ændret af en anden i mellemtiden." "Somebody else has changed it meanwhile."
        "read it again and repeat with its present version";
    /// Larger than a ledger can commit at once.
    TOO_LARGE = 413 "error.too_large" 413 false
        "Det fylder for meget." "It is too large."
        "send less at once";
    /// Sensitive content or a right that needs a fresh, strong login.
    STEP_UP_REQUIRED = 1001 "error.step_up_required" 403 false
        "Log ind igen med MitID for at se eller gøre dette." "Sign in again with MitID to see or do this."
        "authenticate anew at level substantial and call session.step_up";
    /// The unit or one above it has stopped this kind from writing.
    COMMUNICATION_BLOCKED = 1002 "error.communication_blocked" 403 false
        "Der er lukket for at skrive her." "Writing is closed here."
        "the unit, its municipality or the central body can open it again";
    /// Somebody of another municipality without a grant.
    OUTSIDE_MUNICIPALITY = 1003 "error.outside_municipality" 403 false
        "Du kan kun skrive inden for din egen kommune." "You can write only within your own municipality."
        "ask the unit for a grant";
    /// More than 400 recipients.
    TOO_MANY_RECIPIENTS = 1004 "error.too_many_recipients" 409 false
        "Der kan højst være 400 modtagere." "There can be at most 400 recipients."
        "publish a post to the group or the unit, or write to fewer";
    /// Nobody would receive it.
    NO_RECIPIENTS = 1005 "error.no_recipients" 409 false
        "Der er ingen modtagere." "There are no recipients."
        "name somebody other than the sender who takes part in the unit today";
    /// A recipient that the unit does not have, or that is out of the sender's reach.
    UNKNOWN_RECIPIENT = 1006 "error.unknown_recipient" 404 false
        "En modtager findes ikke eller kan ikke kontaktes af dig." "A recipient does not exist or is out of your reach."
        "choose recipients from the groups the profile sees";
    /// The acting profile is not the login's, or does not hold today.
    PROFILE_NOT_YOURS = 1007 "error.profile_not_yours" 403 false
        "Du kan ikke handle med den profil." "You cannot act as that profile."
        "act as one of the profiles that session.start lists";
    /// A thread has all the messages it can hold.
    THREAD_FULL = 1008 "error.thread_full" 409 false
        "Tråden er fuld. Start en ny." "The thread is full. Start a new one."
        "start a new thread with the same participants";
    /// Replies in this thread go to its sender.
    REPLY_TO_SENDER = 1009 "error.reply_to_sender" 403 false
        "Svar i denne tråd går kun til afsenderen." "Replies in this thread go to its sender only."
        "use message.reply";
    /// It was withdrawn.
    WITHDRAWN = 1010 "error.withdrawn" 410 false
        "Det er trukket tilbage." "It has been withdrawn."
        "nothing more can be done with it";
    /// Dates or times in the wrong order, or past.
    DATES_OUT_OF_ORDER = 1011 "error.dates_out_of_order" 409 false
        "Tidspunkterne passer ikke sammen." "The times do not fit together."
        "an end comes after its start and lies ahead";
    /// The post takes no comments.
    COMMENTS_CLOSED = 1012 "error.comments_closed" 409 false
        "Der er lukket for kommentarer." "Comments are closed."
        "the author opens comments with post.edit";
    /// A newer login that does not raise the session.
    STEP_UP_REFUSED = 1013 "error.step_up_refused" 403 false
        "Det nye login kunne ikke bruges." "The new sign-in could not be used."
        "the token must be of the same person, newer, and of level substantial or higher";
    /// The operation acts on a live connection and there is none.
    NEEDS_CONNECTION = 1014 "error.needs_connection" 409 false
        "Funktionen kræver en åben forbindelse." "This needs an open connection."
        "call it over a socket";
    /// The ledger has too much waiting.
    BUSY = 1100 "error.busy" 503 true
        "Der er travlt lige nu. Prøv igen om lidt." "It is busy just now. Try again shortly."
        "repeat with the same idempotency key after a second or more";
    /// Whether it was done is not known.
    OUTCOME_UNKNOWN = 1101 "error.outcome_unknown" 503 true
        "Vi ved ikke, om det lykkedes. Prøv igen." "We do not know whether it worked. Try again."
        "repeat with the same idempotency key; it will not happen twice";
    /// The store cannot serve.
    UNAVAILABLE = 1102 "error.unavailable" 503 true
        "Tjenesten er midlertidigt utilgængelig." "The service is unavailable for the moment."
        "repeat later with the same idempotency key";
    /// Stored data are damaged; operators are told.
    DAMAGED = 1103 "error.damaged" 500 false
        "Der er en fejl i de gemte data. Vi er underrettet." "Stored data are damaged. We have been told."
        "nothing; operators see the place in the server's log";
    /// More is asked than the node can do, and other things matter more.
    PUT_OFF = 1104 "error.put_off" 503 true
        "Der er meget travlt, og det vigtigste går først. Prøv igen om lidt." "It is very busy, and what matters most goes first. Try again shortly."
        "repeat with the same idempotency key after five seconds or more, with jitter; the status push says what is put off";
}

/// The row of a code.
#[must_use]
pub fn by_code(code: u32) -> Option<&'static ErrorCode> {
    ALL.iter().copied().find(|row| row.code == code)
}

/// What every call may give, whatever it asks for; an operation declares what comes beside these.
pub static OF_EVERY_CALL: &[&ErrorCode] = &[
    &INVALID_INPUT,
    &NOT_SIGNED_IN,
    &UNKNOWN_OPERATION,
    &IDEMPOTENCY_CONFLICT,
    &TOO_LARGE,
    &BUSY,
    &OUTCOME_UNKNOWN,
    &UNAVAILABLE,
    &DAMAGED,
    &PUT_OFF,
];

/// The row of a denied right.
#[must_use]
pub const fn of_denied(denied: Denied) -> &'static ErrorCode {
    match denied {
        Denied::NotAllowed => &NOT_ALLOWED,
        Denied::StepUpRequired => &STEP_UP_REQUIRED,
        Denied::OutsideMunicipality => &OUTSIDE_MUNICIPALITY,
        Denied::CommunicationBlocked => &COMMUNICATION_BLOCKED,
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        of_denied(denied).refuse("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_keys_are_unique_and_in_the_range_of_applications() {
        for (i, row) in ALL.iter().enumerate() {
            assert!((400..2000).contains(&row.code), "{}", row.key);
            for other in &ALL[i + 1..] {
                assert!(row.code < other.code, "{} and {}", row.key, other.key);
                assert_ne!(row.key, other.key);
            }
        }
    }

    #[test]
    fn every_error_says_what_to_do_in_both_languages() {
        for row in ALL {
            assert!(
                row.danish.ends_with('.') && row.english.ends_with('.'),
                "{}",
                row.key
            );
            assert!(
                !row.remedy.is_empty() && !row.remedy.ends_with('.'),
                "{}",
                row.key
            );
            assert_eq!(by_code(row.code), Some(*row));
        }
    }
}
