//! Every text of the report: Danish first, English beside it, under a key that stays the same.

/// One text in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    /// What it is called; texts are spoken of by it.
    pub(super) key: &'static str,
    /// What people read.
    pub(super) da: &'static str,
    /// The same for the rest of the world.
    pub(super) en: &'static str,
}

impl Text {
    /// Both languages with what stands in braces filled in: `{n}` by the value given for `n`.
    pub(super) fn fill(&self, values: &[(&str, &str)]) -> (String, String) {
        let fill = |text: &str| {
            values.iter().fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
        };
        (fill(self.da), fill(self.en))
    }
}

/// Declares the texts and the table of them all.
macro_rules! texts {
    ($($name:ident $key:literal $da:literal $en:literal;)+) => {
        $(pub(super) const $name: Text = Text { key: $key, da: $da, en: $en };)+
        /// Every text, for what must hold for all of them.
        #[cfg(test)]
        pub(super) const ALL: &[Text] = &[$($name),+];
    };
}

texts! {
    TITLE "title" "Lastprøve" "Load test";
    HELD "verdict.held" "Holdt" "Held";
    BROKEN "verdict.broken" "Brød" "Broken";
    INCOMPLETE "verdict.incomplete" "Ufuldstændig" "Incomplete";
    HELD_WHY "verdict.held.why"
        "{bounds} af {bounds} grænser holdt, og {checked} leveringer blev kontrolleret uden brud."
        "{bounds} of {bounds} thresholds held, and {checked} deliveries were checked without a violation.";
    BROKEN_WHY "verdict.broken.why"
        "{broken} af {bounds} grænser holdt ikke, og kontrollen fandt {violations} brud i {checked} leveringer."
        "{broken} of {bounds} thresholds did not hold, and the checker found {violations} violations in {checked} deliveries.";
    INCOMPLETE_WHY "verdict.incomplete.why"
        "Prøven nåede ikke sin ende. Det målte er bevaret herunder, men intet af det er en dom over serveren."
        "The run did not reach its end. What was measured is kept below, but none of it judges the server.";
    CONTRADICTION "verdict.contradiction"
        "Ordet i resultatet passer ikke til dets egne tal: en grænse holdt ikke, eller kontrollen fandt brud. Stol på tallene."
        "The word in the result does not go with its own figures: a threshold did not hold, or the checker found violations. Trust the figures.";
    UNJUDGED "verdict.unjudged"
        "Ingen grænser var sat: »holdt« siger kun, at kontrollen intet fandt."
        "No thresholds were set: “held” only says that the checker found nothing.";
    UNCHECKED "verdict.unchecked"
        "Ingen leveringer blev kontrolleret: »ingen brud« siger intet her."
        "No deliveries were checked: “no violations” says nothing here.";
    WHAT_BROKE "verdict.what_broke" "Hvad der brød" "What broke";

    RUN "run" "Hvad der blev kørt" "What was run";
    SCENARIO "run.scenario" "Scenarie" "Scenario";
    ABOUT "run.about" "Forestiller" "Stands for";
    TARGET "run.target" "Server" "Server";
    BEGAN "run.began" "Begyndt" "Began";
    LASTED "run.lasted" "Varighed" "Duration";
    SPEED "run.speed" "Fart" "Speed";
    SPEED_VALUE "run.speed.value" "{n} gange så hurtigt som skrevet" "{n} times as fast as written";
    AS_WRITTEN "run.speed.as_written" "som skrevet" "as written";
    PEOPLE "run.people" "Personer" "People";
    PEOPLE_VALUE "run.people.value"
        "{part} af {all} logins deltog; {share} af landet" "{part} of {all} logins took part; {share} of the country";
    MACHINE "run.machine" "Maskine" "Machine";
    MACHINE_VALUE "run.machine.value" "{cores} kerner, {memory}, {agents} agent(er)" "{cores} cores, {memory}, {agents} agent(s)";
    SHARED "run.machine.shared" "delt med serveren" "shared with the server";
    OWN "run.machine.own" "serveren havde sin egen" "the server had its own";
    SEED "run.seed" "Frø og protokol" "Seed and protocol";
    TESTER "run.tester" "Tester" "Tester";
    EARLIER "run.earlier" "Sammenlignet med" "Compared with";
    NOT_ALIKE "run.not_alike"
        "De to prøver er ikke ens. Forskellen kan skyldes dette og ikke serveren:"
        "The two runs are not alike. The difference may be due to this and not to the server:";

    FIGURES "figures" "Tallene der betyder noget" "The figures that matter";
    MOST_ONLINE "figures.most_online" "Flest på samtidig" "Most online at once";
    CHECKED "figures.checked" "Leveringer kontrolleret" "Deliveries checked";
    VIOLATED "figures.violations" "Brud" "Violations";
    ERRORS "figures.errors" "Fejl" "Errors";
    SLOWEST_DELIVERY "figures.delivery" "Levering, 99 %" "Delivery, 99 %";
    SLOWEST_ACK "figures.ack" "Kvittering, 99 %" "Acknowledgement, 99 %";
    SLOWEST_CONNECT "figures.connect" "Forbindelse, 99 %" "Connect, 99 %";
    STAFF_BACK "figures.staff_back" "Personalet på, 95 %" "Staff online, 95 %";
    GUARDIANS_BACK "figures.guardians_back" "Forældrene på, 95 %" "Guardians online, 95 %";
    CORES_MOST "figures.cores" "Serverens CPU, mest" "Server CPU, most";
    MEMORY_MOST "figures.memory" "Serverens hukommelse, mest" "Server memory, most";
    PER_CONNECTION "figures.per_connection" "Hukommelse pr. forbindelse" "Memory per connection";
    MOST_DELIVERIES "figures.deliveries" "Leveringer pr. sekund, mest" "Deliveries a second, most";
    SLOWEST_OF "figures.slowest_of" "langsomst:" "slowest:";
    WAS "figures.was" "før" "was";

    THRESHOLDS "thresholds" "Grænser" "Thresholds";
    NO_THRESHOLDS "thresholds.none" "Scenariet sætter ingen grænser." "The scenario sets no thresholds.";
    FIGURE "thresholds.figure" "Tal" "Figure";
    BOUND "thresholds.bound" "Grænse" "Bound";
    MEASURED "thresholds.measured" "Målt" "Measured";
    OF_BOUND "thresholds.of_bound" "Af grænsen" "Of the bound";
    RESULT "thresholds.result" "Dom" "Verdict";
    AT_MOST "thresholds.at_most" "højst" "at most";
    AT_LEAST "thresholds.at_least" "mindst" "at least";
    DID_HOLD "thresholds.held" "holdt" "held";
    DID_NOT_HOLD "thresholds.not_held" "holdt ikke" "did not hold";
    NOT_MEASURED "thresholds.not_measured" "ikke målt" "not measured";
    BEFORE "compare.before" "Før" "Before";
    NOW "compare.now" "Nu" "Now";
    CHANGE "compare.change" "Ændring" "Change";
    BETTER "compare.better" "bedre" "better";
    WORSE "compare.worse" "værre" "worse";
    SAME "compare.same" "omtrent ens" "about the same";
    OTHER "compare.other" "anderledes" "different";
    SAME_NOTE "compare.same_note"
        "En ændring under {n} % kaldes omtrent ens: så meget svinger to prøver af det samme."
        "A change of less than {n} % is called about the same: two runs of the same thing differ by as much.";
    ALL_FIGURES "compare.all" "Alle tal" "All figures";

    CURVE "curve" "Formiddagens kurve" "The curve of the morning";
    CURVE_ABOUT "curve.about"
        "Vandret: tid siden prøven begyndte. Akser begynder ved nul, undtagen de logaritmiske, hvor det står. Intet er udglattet."
        "Across: time since the run began. Axes start at zero, except the logarithmic ones, where it says so. Nothing is smoothed.";
    EACH_POINT_ONE "curve.each_point.one" "Hvert punkt er ét sekund." "Each point is one second.";
    EACH_POINT "curve.each_point"
        "Hvert punkt er {n}: antal pr. sekund og CPU som middel, svartider og hukommelse som det værste sekund."
        "Each point is {n}: rates and CPU as the mean, latencies and memory as the worst second.";
    GAPS "curve.gaps"
        "Skraverede felter er to sekunder eller mere, hvor serveren ikke kunne spørges. Hvor intet blev målt, er linjen brudt."
        "Hatched fields are two seconds or more in which the server could not be asked. Where nothing was measured the line is broken.";
    FAINT "curve.faint" "Den svage linje er den tidligere prøve." "The faint line is the earlier run.";
    NO_CURVE "curve.none" "Der er ingen målepunkter at tegne." "There are no points to draw.";
    STAGES "curve.stages" "Trin" "Stages";
    EVENTS "curve.events" "Hændelser" "Events";
    NORMAL_AFTER "curve.normal_after" "som før efter {n} s" "as before after {n} s";
    NOT_NORMAL "curve.not_normal" "ikke som før igen i tide" "not as before in time";
    LOGARITHMIC "curve.logarithmic" "logaritmisk akse" "logarithmic axis";
    PRESENT "curve.present" "Forbindelser" "Connections";
    PLANNED "curve.planned" "planlagt" "planned";
    ONLINE "curve.online" "på" "online";
    OF_STAFF "curve.staff" "heraf personale" "of these staff";
    ARRIVALS "curve.arrivals" "Nye forbindelser" "Connects";
    GRANTED "curve.granted" "givet" "granted";
    TOLD_TO_WAIT "curve.told_to_wait" "bedt om at vente" "told to wait";
    DELIVERIES "curve.deliveries" "Leveringer" "Deliveries";
    DELIVERED "curve.delivered" "leveret" "delivered";
    SENT "curve.sent" "Handlinger" "Actions";
    DUE "curve.due" "skulle ske" "due";
    ACKED "curve.acked" "kvitteret" "acknowledged";
    DELIVERY_TIME "curve.delivery_time" "Svartid: levering" "Latency: delivery";
    ACK_TIME "curve.ack_time" "Svartid: kvittering" "Latency: acknowledgement";
    CONNECT_TIME "curve.connect_time" "Svartid: forbindelse" "Latency: connect";
    HALF "curve.p50" "50 %" "50 %";
    MANY "curve.p95" "95 %" "95 %";
    MOST "curve.p99" "99 %" "99 %";
    LONGEST "curve.max" "længst" "longest";
    TROUBLE "curve.trouble" "Fejl" "Errors";
    VIOLATIONS_CHART "curve.violations_chart" "Brud" "Violations";
    NO_VIOLATIONS_CHART "curve.no_violations" "ingen brud" "no violations";
    ERRORS_LINE "curve.errors" "fejl" "errors";
    VIOLATIONS_LINE "curve.violations" "brud" "violations";
    CORES "curve.cores" "CPU" "CPU";
    SERVER "curve.server" "serveren" "the server";
    AGENTS "curve.agents" "agenterne" "the agents";
    WHOLE_MACHINE "curve.machine" "hele maskinen" "the whole machine";
    MEMORY "curve.memory" "Serverens hukommelse" "Server memory";
    RESIDENT "curve.resident" "i brug" "resident";
    EACH "curve.each" "Hukommelse pr. forbindelse" "Memory per connection";
    EACH_NOTE "curve.each.note"
        "det serveren bruger ud over det første målte, delt med forbindelserne ud over de første; vist fra en tiendedel af de fleste"
        "what the server uses beyond what was first measured, over the connections beyond the first; shown from a tenth of the most";
    NO_TROUBLE "curve.no_trouble" "ingen fejl" "no errors";
    AT_THE_END_ONLY "curve.at_the_end_only" "kun fundet ved opgørelsen til sidst" "only found in the account at the end";
    NOTHING_MEASURED "curve.nothing" "ikke målt" "not measured";
    LATE "curve.late" "Testerens egen forsinkelse" "The tester's own lateness";
    LATE_LINE "curve.late.line" "fra tid til start, 99 %" "from due to started, 99 %";
    COUNT_UNIT "unit.count" "antal" "count";
    PER_SECOND_UNIT "unit.per_second" "pr. sekund" "a second";
    CORES_UNIT "unit.cores" "kerner" "cores";

    LATENCIES "latencies" "Svartider" "Latencies";
    LATENCIES_NOTE "latencies.note"
        "Millisekunder, regnet fra handlingen skulle ske."
        "Milliseconds, counted from when the action was due.";
    KIND "latencies.kind" "Art" "Kind";
    HOW_MANY "latencies.count" "Antal" "Count";
    NO_LATENCIES "latencies.none" "Ingen svartider blev målt." "No latencies were measured.";

    ROLES "roles" "For hvem det holdt" "For whom it held";
    ROLE "roles.role" "Rolle" "Role";
    TAKING_PART "roles.taking_part" "Deltog" "Took part";
    ROLE_ONLINE "roles.online" "Flest på" "Most online";
    ROLE_WAITED "roles.waited" "Bedt om at vente" "Told to wait";
    ROLE_CONNECT "roles.connect" "Forbindelse, ms" "Connect, ms";
    ROLE_BACK "roles.back" "På igen efter, s" "Back after, s";
    ROLE_ACK "roles.ack" "Kvittering, ms" "Acknowledgement, ms";
    ROLES_NOTE "roles.note"
        "Tiden til 50, 95 og 100 % er på regnes fra det største rykinds begyndelse, eller fra serveren forsvandt. En streg betyder, at det ikke skete."
        "Time until 50, 95 and 100 % are online is counted from the beginning of the largest rush, or from the loss of the server. A dash means that it did not happen.";
    NO_ROLES "roles.none" "Ingen roller deltog." "No roles took part.";
    STAFF "role.staff" "Personale" "Staff";
    GUARDIAN "role.guardian" "Forældre" "Guardians";
    PUPIL "role.pupil" "Elever" "Pupils";
    OTHER_ROLE "role.other" "Andre" "Others";

    ERRORS_TABLE "errors" "Fejl" "Errors";
    ERROR "errors.error" "Handling og kode" "Action and code";
    NO_ERRORS "errors.none" "Ingen fejl." "No errors.";
    MORE_ERRORS "errors.more" "og {n} andre slags i JSON-resultatet" "and {n} other sorts in the JSON result";

    VIOLATIONS "violations" "Brud på løfterne" "Broken promises";
    VIOLATIONS_ABOUT "violations.about"
        "Kontrollen så {checked} leveringer og ventede på {expected} bestemte, person for person."
        "The checker looked at {checked} deliveries and waited for {expected} particular ones, person by person.";
    NO_VIOLATIONS "violations.none" "Ingen brud fundet." "No violations found.";
    AT_THE_END "violations.at_the_end" "til sidst" "at the end";
    NOTICED "violations.at" "Set" "Noticed";
    LOGIN "violations.login" "Login" "Login";
    CHANNEL "violations.channel" "Kanal" "Channel";
    EVIDENCE "violations.what" "Ventet og set" "Expected and seen";
    MORE_EVIDENCE "violations.more" "og {n} beviser til i JSON-resultatet" "and {n} more pieces of evidence in the JSON result";
    MISSING "violation.missing" "mangler" "missing";
    DOUBLED "violation.doubled" "kom to gange" "doubled";
    OUT_OF_ORDER "violation.out_of_order" "forkert rækkefølge" "out of order";
    LEAKED "violation.leaked" "vist til den forkerte" "shown to the wrong person";
    FOREIGN_CHANNEL "violation.foreign_channel" "på en fremmed kanal" "on a foreign channel";
    MISSING_CHANNEL "violation.missing_channel" "mangler en kanal" "lacks a channel";
    SENSITIVE_IN_FULL "violation.sensitive_in_full" "følsomt vist for lavt" "sensitive shown below its level";
    UNKNOWN_SENDER "violation.unknown_sender" "fra en ukendt afsender" "from an unknown sender";
    LET_IN "violation.let_in" "lukket ind uden gyldigt bevis" "let in without a valid token";

    BOTTLENECK "bottleneck" "Flaskehalsen" "The bottleneck";
    BY_SERVER "bottleneck.server" "Serveren nåede sin grænse først." "The server reached its limit first.";
    BY_TESTER "bottleneck.tester"
        "Testeren nåede sin grænse først: serveren kan mere end dette viser."
        "The tester reached its limit first: the server can do more than this shows.";
    BY_MACHINE "bottleneck.machine"
        "Maskinen, som de delte, nåede sin grænse først."
        "The machine they shared reached its limit first.";
    BY_NONE "bottleneck.none" "Ingen nåede sin grænse." "Nobody reached a limit.";
    BY_UNKNOWN "bottleneck.unknown" "Det vides ikke." "It is not known.";

    HOW "how" "Sådan er der målt" "How it was measured";
    HOW_DUE "how.due"
        "Svartid regnes fra det øjeblik, handlingen skulle ske efter scenariet, ikke fra da testeren kom til den. En langsom server får derfor ikke testeren til at sende langsommere, og ventetiden tælles med (ingen »coordinated omission«)."
        "Latency is counted from the moment the action was due by the scenario, not from when the tester got to it. So a slow server never slows the sender down, and the waiting is counted (no coordinated omission).";
    HOW_DELIVERY "how.delivery"
        "En levering er én udgivelse modtaget af én forbindelse. Dens svartid er tiden, fra afsenderen skulle sende, til modtageren havde den."
        "A delivery is one publication received by one connection. Its latency is the time from when the sender was due to send until the receiver had it.";
    HOW_ACK "how.ack"
        "En kvittering er serverens svar til afsenderen, efter at det sendte er gemt. Kom intet svar, sendes igen under samme nøgle, og tiden løber fra første gang."
        "An acknowledgement is the server's reply to the sender, after what was sent is durable. Without a reply it is sent again under the same key, and the time runs from the first.";
    HOW_CONNECT "how.connect"
        "Forbindelse regnes fra den skulle ske, til serveren gav den: ventetid, afvisninger og nye forsøg er med. Efter et tab regnes fra tabet, så appens egen pause på et halvt sekund og mere er med."
        "Connecting is counted from when it was due until the server granted it: waiting, refusals and retries included. After a loss it is counted from the loss, so the app's own pause of half a second and more is in it.";
    HOW_SERVER "how.server"
        "Serverens CPU, hukommelse og forbindelser er dens egne tal fra /metrics, hentet hvert sekund."
        "The server's CPU, memory and connections are its own figures from /metrics, fetched every second.";
    HOW_PERCENTILES "how.percentiles"
        "Procenter er af alle målinger i prøven; i kurven af målingerne i hvert sekund. De er aldrig middel af andre procenter."
        "Percentiles are of all measurements of the run; in the curve, of those of each second. They are never a mean of other percentiles.";
    HOW_PEOPLE "how.people"
        "Personer, logins og enheder er opfundne. Ingen af dem findes."
        "People, logins and units are invented. None of them exists.";
    KILLED_EVENT "event.killed" "serveren dræbt og startet igen" "server killed, and started again";
    QUIET_EVENT "event.quiet" "intet nyt begyndes" "nothing new is begun";
    ROLL_CALL_EVENT "event.roll_call" "opråb: alle, der var på, kommer tilbage" "roll call: everybody who was there comes back";
    NOT_IN_TIME_EVENT "event.not_in_time" "ikke alt blev færdigt i tide" "not everything came to an end in time";
    MORE_STAGES "curve.more" "og {n} til i JSON-resultatet" "and {n} more in the JSON result";
    GROUND "how.ground" "Hele resultatet står i JSON-filen ved siden af; dette er dens billede."
        "The whole result is in the JSON file beside this; this is its picture.";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that are spelt alike in both languages.
    const ALIKE: &[&str] = &[
        "run.target",
        "run.tester",
        "curve.p50",
        "curve.p95",
        "curve.p99",
        "curve.cores",
        "violations.login",
    ];

    #[test]
    fn every_text_has_both_languages_and_a_key_of_its_own() {
        let mut keys = std::collections::BTreeSet::new();
        for text in ALL {
            assert!(!text.da.trim().is_empty(), "{} has no Danish", text.key);
            assert!(!text.en.trim().is_empty(), "{} has no English", text.key);
            assert!(keys.insert(text.key), "{} stands twice", text.key);
            assert_eq!(
                text.da == text.en,
                ALIKE.contains(&text.key),
                "{}: one language stands in both places",
                text.key
            );
        }
    }

    #[test]
    fn both_languages_have_the_same_places_to_fill() {
        let places = |text: &str| -> Vec<String> {
            let mut found: Vec<_> = text
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}').map(|(name, _)| name.to_owned()))
                .collect();
            found.sort();
            found
        };
        for text in ALL {
            assert_eq!(places(text.da), places(text.en), "{}", text.key);
        }
    }

    #[test]
    fn what_stands_in_braces_is_filled() {
        let (da, en) = SPEED_VALUE.fill(&[("n", "2,5")]);
        assert_eq!(da, "2,5 gange så hurtigt som skrevet");
        assert_eq!(en, "2,5 times as fast as written");
    }
}
