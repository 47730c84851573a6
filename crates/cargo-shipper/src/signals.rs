//! Signals of the system. All are to be asked for within a runtime.

use std::future::Future;

/// Waits, from this call on and not only once it is polled, until the user or the system asks to stop.
#[cfg(unix)]
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    // What can not be caught ends the process.
    let mut caught: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    std::future::poll_fn(move |context| {
        let asked = caught.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if asked { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
}

/// Waits until the user asks to stop.
#[cfg(not(unix))]
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    async { drop(tokio::signal::ctrl_c().await) }
}

/// A file that grows beyond `ulimit -f` is an error of the write; the signal that would end the process first is caught.
pub(crate) fn fail_at_file_limits() {
    #[cfg(unix)]
    {
        let signal = tokio::signal::unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        // Where it can not be caught, it ends the process as before.
        let _ = tokio::signal::unix::signal(signal);
    }
}
