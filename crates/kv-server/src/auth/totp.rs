//! Time-based one-time passwords (RFC 6238): 30 seconds, 6 digits, SHA-1, as every authenticator app has them. The
//! arithmetic is totp-rs'; which step was accepted already is the database's word.

use qrcode::{EcLevel, QrCode, render::svg};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use totp_rs::{Builder, Secret, Totp};

/// Bytes of a secret (RFC 4226 §4 recommends 160 bits).
pub const SECRET: usize = 20;
/// Seconds of a step.
const STEP: u64 = 30;
/// Named to the authenticator app.
const ISSUER: &str = "KubeVision";

/// A second factor as its owner is shown it, once.
#[derive(Debug)]
pub struct Shown {
    /// The secret in base32, to be typed.
    pub secret: SecretString,
    /// The same as an address for authenticator apps.
    pub uri: SecretString,
    /// The same as a picture, drawn here.
    pub qr: SecretString,
}

/// Why a second factor cannot be shown or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret of a second factor is not usable")]
pub struct TotpError;

fn totp(secret: &[u8], account: &str) -> Result<Totp, TotpError> {
    // The colon divides issuer and account in the address.
    let account = account.replace(':', " ");
    Builder::new()
        .with_secret(Secret::from(secret))
        .with_step_duration(STEP)
        .with_skew(0)
        .with_account_name(account)
        .with_issuer(Some(ISSUER))
        .build()
        .map_err(|_| TotpError)
}

/// The secret in the forms its owner can use.
///
/// # Errors
/// [`TotpError`] for a secret that is too short.
pub fn show(secret: &[u8], account: &str) -> Result<Shown, TotpError> {
    let totp = totp(secret, account)?;
    let uri = totp.to_url().map_err(|_| TotpError)?;
    let code = QrCode::with_error_correction_level(uri.as_bytes(), EcLevel::M).map_err(|_| TotpError)?;
    let qr = code.render::<svg::Color<'_>>().min_dimensions(240, 240).quiet_zone(true).build();
    Ok(Shown { secret: totp.secret().to_base32().into(), uri: uri.into(), qr: qr.into() })
}

/// The step of a code, if it is the code of now or of the step before. Exactly six ASCII digits count; blanks around them
/// do not matter, and nothing else is forgiven, so that no code can be written in two ways.
///
/// # Errors
/// [`TotpError`] for a secret that is too short.
pub fn step(secret: &[u8], code: &SecretString, now: OffsetDateTime) -> Result<Option<i64>, TotpError> {
    let code = code.expose_secret().trim_matches(' ');
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let totp = totp(secret, "")?;
    let now = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let found = [now, now.saturating_sub(STEP)].into_iter().find_map(|time| totp.check(code, time));
    Ok(found.and_then(|step| i64::try_from(step).ok()))
}

/// The code of a time, for tests that play the authenticator app.
///
/// # Errors
/// [`TotpError`] for a secret that is too short.
pub fn code(secret: &[u8], at: OffsetDateTime) -> Result<String, TotpError> {
    Ok(totp(secret, "")?.generate(u64::try_from(at.unix_timestamp()).unwrap_or(0)).to_string())
}

/// A secret as its owner was shown it, back in bytes.
#[must_use]
pub fn typed(base32: &str) -> Option<Vec<u8>> {
    Secret::try_from_base32(base32).ok().map(|secret| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    const SEED: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn step_of(code: &str, now: OffsetDateTime) -> Option<i64> {
        step(SEED, &SecretString::from(code), now).unwrap()
    }

    /// RFC 6238, appendix B, SHA-1, the last six of its eight digits.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (time, code_then) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SEED, at(time)).unwrap(), code_then);
            assert_eq!(step_of(code_then, at(time)), Some(time / 30));
        }
    }

    #[test]
    fn attack_181_only_this_step_and_the_one_before() {
        let now = at(1_800_000_015);
        let code_at = |steps: i32| code(SEED, now + Duration::seconds(30) * steps).unwrap();
        let accepted: Vec<i32> = (-3..=3).filter(|&steps| step_of(&code_at(steps), now).is_some()).collect();
        assert_eq!(accepted, [-1, 0]);
    }

    #[test]
    fn attack_182_a_code_is_written_in_one_way() {
        let now = at(1_111_111_109);
        assert!(step_of("081804", now).is_some() && step_of(" 081804 ", now).is_some());
        for text in [
            "81804",
            "0081804",
            "081804\n",
            "\t081804",
            "08 1804",
            "081-804",
            "+81804",
            "+081804",
            "０８１８０４",
            "٠٨١٨٠٤",
            "081804\0",
            "0x13f8c",
            "",
            "      ",
        ] {
            assert_eq!(step_of(text, now), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_what_apps_read() {
        let shown = show(SEED, "ann: prod").unwrap();
        let uri = shown.uri.expose_secret();
        assert!(uri.starts_with("otpauth://totp/KubeVision:ann"), "{uri}");
        assert!(uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") && uri.contains("issuer=KubeVision"), "{uri}");
        assert_eq!(typed(shown.secret.expose_secret()).unwrap(), SEED);
        assert!(shown.qr.expose_secret().contains("<svg"));
        assert!(!format!("{shown:?}").contains("GEZD"));
    }
}
