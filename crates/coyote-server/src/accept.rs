//! Which form of an answer a client would have. RFC 9110 section 12.5.1.

/// The media type that suits this `Accept` header best, of those that are offered; of several that suit it alike, the
/// first. `None` if none does. Without a header each does.
///
/// Parameters of a media range but its weight are not looked at, and what cannot be read is passed over: also all of it.
pub(crate) fn choose<'a>(accept: Option<&str>, offered: &[&'a str]) -> Option<&'a str> {
    let ranges: Vec<Range<'_>> = accept.unwrap_or("*/*").split(',').filter_map(Range::parse).collect();
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let mut best = None;
    for media_type in offered {
        let weight = weight(&ranges, media_type);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *media_type));
        }
    }
    best.map(|(_, media_type)| media_type)
}

/// A media range and its weight in thousandths.
struct Range<'a> {
    range: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        // The second is what some libraries say for the first.
        let range = match parts.next()? {
            "*" => "*/*",
            range => Some(range).filter(|range| range.contains('/'))?,
        };
        let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
        let weight = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let weight = weight.map_or(Some(1_000), |(_, value)| parse_weight(value.trim()))?;
        Some(Self { range, weight })
    }

    /// How closely it describes this media type: 0 for not at all.
    fn closeness(&self, media_type: &str) -> u8 {
        let kind = media_type.split_once('/').map(|(kind, _)| kind);
        match self.range.split_once('/') {
            Some(("*", "*")) => 1,
            Some((range, "*")) if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(range)) => 2,
            _ if self.range.eq_ignore_ascii_case(media_type) => 3,
            _ => 0,
        }
    }
}

/// `0.5`, `1`, `0.125`, and `.5`, which some libraries say: at most three digits after the point, and at most 1.
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    if !digits || !matches!(whole, "0" | "1") && (!whole.is_empty() || fraction.is_empty()) {
        return None;
    }
    let weight: u16 = format!("{whole}{fraction:0<3}").parse().ok()?;
    (weight <= 1_000).then_some(weight)
}

/// The weight of a media type is that of the range which describes it most closely.
fn weight(ranges: &[Range<'_>], media_type: &str) -> u16 {
    let closest = ranges.iter().max_by_key(|range| (range.closeness(media_type), range.weight));
    closest.filter(|range| range.closeness(media_type) > 0).map_or(0, |range| range.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "application/pem-certificate-chain";
    const DER: &str = "application/pkix-cert";

    #[test]
    fn the_form_that_suits_best_is_chosen_and_of_several_the_first_that_is_offered() {
        for (accept, chosen) in [
            (None, Some(PEM)),
            (Some("*/*"), Some(PEM)),
            (Some("application/*"), Some(PEM)),
            (Some("application/pkix-cert"), Some(DER)),
            (Some("Application/PKIX-Cert ; q=0.1"), Some(DER)),
            (Some("application/pkix-cert, application/pem-certificate-chain"), Some(PEM)),
            (Some("application/pkix-cert, */*;q=0.9"), Some(DER)),
            (Some("application/pkix-cert;q=0.5, */*"), Some(PEM)),
            (Some("application/pem-certificate-chain;q=0, */*;q=0.001"), Some(DER)),
            (Some("application/pem-certificate-chain;q=0, application/*"), Some(DER)),
            (Some("application/pem-certificate-chain;charset=x"), Some(PEM)),
            (Some("text/html, application/pkix-cert;q=0.3"), Some(DER)),
            (Some("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"), Some(PEM)),
            (Some("application/pkix-cert, *;q=.2"), Some(DER)),
            (Some("application/json"), None),
            (Some("*/*;q=0"), None),
            (Some("application/pkix-cert;q=0"), None),
        ] {
            assert_eq!(choose(accept, &[PEM, DER]), chosen, "{accept:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        for accept in
            ["", ",", "nonsense", "*/*;q=2", "*/*;q=1.001", "*/*;q=0.1234", "*/*;q=-1", "*/*;q=", "*/*;q=."]
        {
            assert_eq!(choose(Some(accept), &[PEM, DER]), Some(PEM), "{accept:?}");
            let also = format!("{accept}, {DER}");
            assert_eq!(choose(Some(&also), &[PEM, DER]), Some(DER), "{also:?}");
        }
    }
}
