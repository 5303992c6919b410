//! Names of people and places, put together from syllables: nobody's, or somebody's by accident.

use super::line::PersonId;
use crate::chance::Chance;

const STARTS: [&str; 24] = [
    "Al", "Be", "Bi", "Da", "El", "Fi", "Fre", "Gro", "Ha", "Is", "Jo", "Ka", "Li", "Ma", "Mo",
    "Nu", "O", "Re", "Si", "Sø", "Tå", "Tho", "Vi", "Y",
];
const ENDS: [&str; 20] = [
    "da", "ne", "rik", "sa", "mar", "vin", "le", "gil", "na", "ro", "bert", "mia", "tor", "fe",
    "lis", "ve", "dan", "ja", "mund", "ka",
];
const PLACES: [&str; 24] = [
    "Bak", "Birke", "Dal", "Egel", "Fjord", "Gran", "Hassel", "Hav", "Kilde", "Kær", "Lynge",
    "Mose", "Nør", "Pile", "Rug", "Rønne", "Sten", "Sønder", "Torn", "Ulve", "Vester", "Æble", "Ø",
    "Å",
];
const LAST: [&str; 12] = [
    "sted", "lund", "gård", "holm", "toft", "bæk", "mark", "by", "have", "kjær", "skov", "dahl",
];

/// Beginnings and ends of invented municipalities' names; no two make a real one's (a test looks).
const TOWN_STARTS: [&str; 14] = [
    "Asp", "Bøge", "Dybde", "Engel", "Fyrre", "Gejl", "Humle", "Kløver", "Lærke", "Mejse", "Ravn",
    "Skarn", "Tjørne", "Ugle",
];
const TOWN_ENDS: [&str; 7] = [
    "næsholt", "rupvig", "strandby", "sletten", "ådal", "bjergby", "lundsø",
];

/// The name of a municipality, by its place in the country (below 98).
pub(super) fn municipality(place: usize) -> String {
    let start = TOWN_STARTS[place % TOWN_STARTS.len()];
    let end = TOWN_ENDS[place / TOWN_STARTS.len() % TOWN_ENDS.len()];
    format!("{start}{end} Kommune")
}

/// The name of an institution that ends in `kind`: "Lyngegårdskolen".
pub(super) fn institution(chance: &mut Chance, kind: &str) -> String {
    format!("{}{}{kind}", chance.pick(&PLACES), chance.pick(&LAST))
}

/// What somebody's name is drawn from: the person for the first name, and for the last name the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameOf {
    pub(super) person: PersonId,
    pub(super) family: u32,
}

/// Purposes of streams of chance, apart from those of municipalities.
const FIRST_NAME: u64 = 1 << 40;
const LAST_NAME: u64 = 2 << 40;

impl NameOf {
    /// Somebody with a last name of their own.
    pub(super) const fn alone(person: PersonId) -> Self {
        Self {
            person,
            family: person.0,
        }
    }

    /// Writes the name; the same person has it in every file, whoever writes it.
    pub(super) fn write(self, seed: u64, into: &mut String) {
        into.clear();
        let mut chance = Chance::stream(seed, FIRST_NAME | u64::from(self.person.0));
        into.push_str(chance.pick(&STARTS));
        into.push_str(chance.pick(&ENDS));
        let mut chance = Chance::stream(seed, LAST_NAME | u64::from(self.family));
        // One family in three has a middle name.
        if chance.below(3) == 0 {
            into.push(' ');
            into.push_str(chance.pick(&PLACES));
            into.push_str(chance.pick(&LAST));
        }
        into.push(' ');
        into.push_str(chance.pick(&PLACES));
        into.push_str(chance.pick(&LAST));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{NameOf, PersonId, municipality};

    /// The real ones, so that none of them is among the invented.
    const REAL: [&str; 98] = [
        "Albertslund",
        "Allerød",
        "Assens",
        "Ballerup",
        "Billund",
        "Bornholm",
        "Brøndby",
        "Brønderslev",
        "Dragør",
        "Egedal",
        "Esbjerg",
        "Fanø",
        "Favrskov",
        "Faxe",
        "Fredensborg",
        "Fredericia",
        "Frederiksberg",
        "Frederikshavn",
        "Frederikssund",
        "Furesø",
        "Faaborg-Midtfyn",
        "Gentofte",
        "Gladsaxe",
        "Glostrup",
        "Greve",
        "Gribskov",
        "Guldborgsund",
        "Haderslev",
        "Halsnæs",
        "Hedensted",
        "Helsingør",
        "Herlev",
        "Herning",
        "Hillerød",
        "Hjørring",
        "Holbæk",
        "Holstebro",
        "Horsens",
        "Hvidovre",
        "Høje-Taastrup",
        "Hørsholm",
        "Ikast-Brande",
        "Ishøj",
        "Jammerbugt",
        "Kalundborg",
        "Kerteminde",
        "Kolding",
        "København",
        "Køge",
        "Langeland",
        "Lejre",
        "Lemvig",
        "Lolland",
        "Lyngby-Taarbæk",
        "Læsø",
        "Mariagerfjord",
        "Middelfart",
        "Morsø",
        "Norddjurs",
        "Nordfyn",
        "Nyborg",
        "Næstved",
        "Odder",
        "Odense",
        "Odsherred",
        "Randers",
        "Rebild",
        "Ringkøbing-Skjern",
        "Ringsted",
        "Roskilde",
        "Rudersdal",
        "Rødovre",
        "Samsø",
        "Silkeborg",
        "Skanderborg",
        "Skive",
        "Slagelse",
        "Solrød",
        "Sorø",
        "Stevns",
        "Struer",
        "Svendborg",
        "Syddjurs",
        "Sønderborg",
        "Thisted",
        "Tønder",
        "Tårnby",
        "Vallensbæk",
        "Varde",
        "Vejen",
        "Vejle",
        "Vesthimmerland",
        "Viborg",
        "Vordingborg",
        "Ærø",
        "Aabenraa",
        "Aalborg",
        "Aarhus",
    ];

    #[test]
    fn ninety_eight_invented_municipalities_and_no_real_one() {
        let invented: BTreeSet<String> = (0..98).map(municipality).collect();
        assert_eq!(invented.len(), 98);
        for real in REAL {
            let real = format!("{real} Kommune");
            assert!(!invented.contains(&real), "{real}");
        }
    }

    #[test]
    fn a_person_has_one_name_and_a_family_one_last_name() {
        let name = |person, family| {
            let mut name = String::new();
            let person = PersonId(person);
            NameOf { person, family }.write(1, &mut name);
            name
        };
        assert_eq!(name(5, 9), name(5, 9));
        let last = |name: String| name.split_once(' ').map(|(_, last)| last.to_owned());
        assert_eq!(last(name(5, 9)), last(name(6, 9)));
        assert_ne!(last(name(5, 9)), last(name(5, 10)));
    }
}
