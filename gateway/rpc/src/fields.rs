//! Fields that mean the same in the requests of every face.

use std::time::Duration;

use opgate_bus::PAGE_SIZE;
use opgate_core::Error;

/// Operations on a page where the request does not say how many (AIP-158 leaves it to the server).
const PAGE_SIZE_DEFAULT: usize = 50;

/// How many operations a page is to hold: more than [`PAGE_SIZE`] is that many, as AIP-158 wants it.
///
/// # Errors
/// `InvalidArgument` on `page_size` when it is negative.
pub fn page_size(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE)),
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
    }
}

/// A `google.protobuf.Duration` that is a length of time.
///
/// # Errors
/// `InvalidArgument` on `field` when it is negative, or has a whole second of nanoseconds or more.
pub fn duration(field: &'static str, seconds: i64, nanos: i32) -> Result<Duration, Error> {
    let seconds = u64::try_from(seconds).ok();
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err(Error::invalid(field, "is negative or no valid Duration")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_default_a_limit_and_no_sign() {
        assert_eq!(
            [0, 1, 1000, i32::MAX].map(|asked| page_size(asked).unwrap()),
            [50, 1, 1000, 1000]
        );
        assert_eq!(page_size(-1).unwrap_err().field.unwrap().field, "page_size");
    }

    #[test]
    fn a_duration_is_whole_and_not_negative() {
        assert_eq!(duration("timeout", 1, 5).unwrap(), Duration::new(1, 5));
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let error = duration("timeout", seconds, nanos).unwrap_err();
            assert_eq!(error.field.unwrap().field, "timeout");
        }
    }
}
