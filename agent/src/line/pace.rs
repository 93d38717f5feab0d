//! The throttle that all uploads of an agent share.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Bytes that may go out at once, however slow the throttle is: no piece is larger.
pub(crate) const LARGEST: u32 = 1 << 20;

/// Bytes of a message that is still worth its envelope.
const SMALLEST: u32 = 1 << 10;

/// Lets through so many bytes a second, or all.
pub(crate) struct Pace {
    limiter: Option<DefaultDirectRateLimiter>,
    message: usize,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        let rate =
            bytes_per_second.and_then(|rate| u32::try_from(rate.max(1)).ok()).and_then(NonZeroU32::new);
        let limiter = rate.map(|rate| {
            let burst = NonZeroU32::new(rate.get() / 4)
                .unwrap_or(rate)
                .max(NonZeroU32::MIN.saturating_add(LARGEST - 1));
            RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))
        });
        let message = rate.map_or(LARGEST, |rate| rate.get().saturating_mul(2).clamp(SMALLEST, LARGEST));
        Self { limiter, message: message as usize }
    }

    /// Bytes that one message has at most: where the throttle is slow, a message is sent every few seconds all the same, so
    /// that the other side does not take the sender for dead.
    pub(crate) fn message(&self) -> usize {
        self.message
    }

    /// Waits until so many bytes may go out.
    pub(crate) async fn wait(&self, bytes: usize) {
        let Some(limiter) = &self.limiter else { return };
        let mut left = bytes;
        while let Some(some) = NonZeroU32::new(u32::try_from(left).unwrap_or(LARGEST).min(LARGEST)) {
            if limiter.until_n_ready(some).await.is_err() {
                unreachable!("the burst is no smaller than a piece");
            }
            left -= some.get() as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn what_goes_out_together_keeps_to_the_rate() {
        let pace = Pace::new(Some(8 << 20));
        let began = Instant::now();
        let piece = || pace.wait(2 << 20);
        tokio::join!(piece(), piece(), piece());
        // 6 MiB, of which a quarter of a second's worth goes out at once.
        assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
        Pace::new(None).wait(usize::MAX).await;
    }
}
