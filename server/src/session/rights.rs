//! Who may do what in a generic channel: namespace options against who asks. The domain's channels are
//! decided elsewhere and told as entitlements.

use super::{ChannelOptions, ChannelRules};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    /// Empty when anonymous.
    pub(super) user: &'a str,
    pub(super) is_subscribed: bool,
    /// The server checks no rights at all.
    pub(super) insecure: bool,
}

/// Three options that open one feature.
struct Gate {
    subscriber: bool,
    client: bool,
    anonymous: bool,
}

impl Asker<'_> {
    /// Anonymous users need the client's option and their own: it extends the former, it does not replace it.
    fn passes(self, gate: &Gate) -> bool {
        let as_client = gate.client && (!self.user.is_empty() || gate.anonymous);
        self.insecure || as_client || (gate.subscriber && self.is_subscribed)
    }
}

pub(super) fn may_publish(options: &ChannelOptions, asker: Asker<'_>) -> bool {
    asker.passes(&Gate {
        subscriber: options.allow_publish_for_subscriber,
        client: options.allow_publish_for_client,
        anonymous: options.allow_publish_for_anonymous,
    })
}

pub(super) fn may_read_history(options: &ChannelOptions, asker: Asker<'_>) -> bool {
    asker.passes(&Gate {
        subscriber: options.allow_history_for_subscriber,
        client: options.allow_history_for_client,
        anonymous: options.allow_history_for_anonymous,
    })
}

pub(super) fn may_see_presence(options: &ChannelOptions, asker: Asker<'_>) -> bool {
    asker.passes(&Gate {
        subscriber: options.allow_presence_for_subscriber,
        client: options.allow_presence_for_client,
        anonymous: options.allow_presence_for_anonymous,
    })
}

/// Whether a subscription without a token is allowed.
pub(super) fn may_subscribe(
    options: &ChannelOptions,
    rules: &ChannelRules,
    channel: &str,
    asker: Asker<'_>,
) -> bool {
    if rules.is_private(channel) {
        return false;
    }
    let users = rules
        .users(channel)
        .filter(|_| options.allow_user_limited_channels);
    if let Some(mut users) = users {
        let is_listed = !asker.user.is_empty() && users.any(|user| user == asker.user);
        return is_listed || asker.insecure;
    }
    asker.passes(&Gate {
        subscriber: false,
        client: options.allow_subscribe_for_client,
        anonymous: options.allow_subscribe_for_anonymous,
    })
}

/// Whether a channel may have this name in its namespace.
pub(super) fn is_well_named(options: &ChannelOptions, rules: &ChannelRules, channel: &str) -> bool {
    match &options.channel_regex {
        Some(regex) => regex.is_match(rules.local(channel)),
        None => channel.is_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(user: &str, is_subscribed: bool) -> Asker<'_> {
        Asker {
            user,
            is_subscribed,
            insecure: false,
        }
    }

    #[test]
    fn anonymous_users_need_both_options() {
        for (client, anonymous, user, expected) in [
            (true, false, "1", true),
            (true, false, "", false),
            (true, true, "", true),
            (false, true, "", false),
            (false, true, "1", false),
        ] {
            let options = ChannelOptions {
                allow_publish_for_client: client,
                allow_publish_for_anonymous: anonymous,
                ..ChannelOptions::default()
            };
            let got = may_publish(&options, asker(user, false));
            assert_eq!(
                got, expected,
                "client {client} anonymous {anonymous} user {user:?}"
            );
        }
    }

    #[test]
    fn subscribers_may_what_is_opened_for_them_alone() {
        let options = ChannelOptions {
            allow_publish_for_subscriber: true,
            allow_history_for_subscriber: true,
            ..ChannelOptions::default()
        };
        assert!(may_publish(&options, asker("", true)));
        assert!(!may_publish(&options, asker("1", false)));
        assert!(may_read_history(&options, asker("1", true)));
        assert!(!may_see_presence(&options, asker("1", true)));
    }

    #[test]
    fn user_lists_and_private_channels_close_what_the_namespace_opens() {
        let options = ChannelOptions {
            allow_user_limited_channels: true,
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            ..ChannelOptions::default()
        };
        let rules = ChannelRules::default();
        for (channel, user, expected) in [
            ("open", "", true),
            ("dialog#1,2", "2", true),
            ("dialog#1,2", "3", false),
            ("dialog#", "", false),
            ("$open", "1", false),
            ("$dialog#1", "1", false),
        ] {
            let got = may_subscribe(&options, &rules, channel, asker(user, false));
            assert_eq!(got, expected, "{channel} {user:?}");
        }
    }

    #[test]
    fn names_are_ascii_unless_an_expression_says_otherwise() {
        let rules = ChannelRules::default();
        let plain = ChannelOptions::default();
        assert!(is_well_named(&plain, &rules, "chat:a"));
        assert!(!is_well_named(&plain, &rules, "chat:å"));
        let danish = ChannelOptions {
            channel_regex: regex::Regex::new("^[a-zæøå]+$").ok(),
            ..ChannelOptions::default()
        };
        assert!(is_well_named(&danish, &rules, "chat:å"));
        assert!(!is_well_named(&danish, &rules, "chat:1"));
    }
}
