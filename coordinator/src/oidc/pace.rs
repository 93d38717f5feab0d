//! How many sign-ins there may be: nobody has to be known to begin one, and each asks the issuer something.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::Error;

/// Sign-ins that ask the issuer at once, and how long others wait for that.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
/// Calls of one address in a second, and how many may come at once. People behind one proxy share an address.
const RATE: f64 = 2.0;
const BURST: f64 = 120.0;
/// Addresses that are remembered at most.
const MOST: usize = 10_000;

#[derive(Debug)]
pub(super) struct Pace {
    asking: Semaphore,
    callers: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { asking: Semaphore::new(AT_ONCE), callers: Mutex::default() }
    }
}

impl Pace {
    /// Waits for a turn to ask the issuer something for this address.
    pub(super) async fn turn(&self, from: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Error> {
        let too_many = || Error::TooMany("too many sign-ins come at once; try again in a minute".to_owned());
        if from.is_some_and(|from| !self.has_room(from, Instant::now())) {
            return Err(too_many());
        }
        match timeout(PATIENCE, self.asking.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    fn has_room(&self, from: IpAddr, now: Instant) -> bool {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |(room, looked): (f64, Instant)| (room + (now - looked).as_secs_f64() * RATE).min(BURST);
        if callers.len() >= MOST {
            callers.retain(|_, caller| left(*caller) < BURST);
            // Whoever has so many addresses is bounded by the turns.
            if callers.len() >= MOST {
                callers.clear();
            }
        }
        let room = callers.get(&from).map_or(BURST, |caller| left(*caller));
        let has_room = room >= 1.0;
        // Whoever is refused pays nothing: otherwise one who asks often would never have room again.
        callers.insert(from, (if has_room { room - 1.0 } else { room }, now));
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_can_not_ask_for_ever() {
        let (pace, now) = (Pace::default(), Instant::now());
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let asked = (0..200).filter(|_| pace.has_room(one, now)).count();
        assert_eq!(asked, 120);
        assert!(matches!(pace.turn(Some(one)).await, Err(Error::TooMany(_))));
        assert!(pace.turn(Some(other)).await.is_ok());
        assert!(pace.has_room(one, now + Duration::from_secs(2)));
    }

    #[test]
    fn who_asks_too_often_still_gets_the_rate() {
        let (pace, from) = (Pace::default(), IpAddr::from([10, 0, 0, 1]));
        let began = Instant::now();
        let asked = |at: u32| pace.has_room(from, began + Duration::from_millis(100) * at);
        let first_minute = (0..600).filter(|at| asked(*at)).count();
        let second_minute = (600..1_200).filter(|at| asked(*at)).count();
        assert_eq!(first_minute, 239, "the burst, and two a second");
        assert!((119..=121).contains(&second_minute), "{second_minute}");
    }
}
