//! The texts about one's own safety: the second factor, its recovery codes, the sessions, the password.
//!
//! Nothing here is about other people's.

use super::texts;

texts! {
    /// Profile, Security.
    Security {
        title: "Security",
        about: "How you prove who you are, and where you are signed in.",

        factor: "Second factor",
        factor_about: "A code from your authenticator app, asked for when you sign in. Keys are not affected.",
        on: "on",
        off: "off",
        set_up: "Set up",
        turn_off: "Turn off",

        codes: "Recovery codes",
        codes_about: "For the day your phone is gone. Left: {} of {}.",
        codes_few: "Few recovery codes are left: {}. Make new ones before you need them.",
        codes_none: "No recovery code is left. Make new ones before you need them.",
        new_codes: "Make new codes",

        sessions: "Sessions",
        sessions_about: "End the ones you do not know, then change your password.",
        client: "Where",
        address: "Address",
        signed_in: "Signed in",
        ends: "Ends",
        renewed: "renewed {}",
        this_one: "this one",
        end: "End",
        end_named: "End {}",
        end_others: "End all other sessions",
        others_none: "No other session went on; none does now.",
        others_one: "One other session went on. It is over.",
        others_ended: "{} other sessions went on. They are over.",
        unknown_client: "Unknown client",
        client_on: "{} on {}",

        password: "Password",
        password_about: "Changing it ends every session, this one too. Your keys keep working.",
        change_password: "Change password",
    }
}

texts! {
    /// Setting up a second factor, and giving it up.
    Factor {
        set_up_title: "Set up your second factor",
        set_up_about: "From then on, signing in asks for a code from an authenticator app on your phone as well. Any such app \
                       will do.",
        required: "Your role requires a second factor. Set it up, and go on.",
        others_end: "Your other sessions end when it is on.",
        begin: "Set up",
        beginning: "Drawing…",
        scan: "Scan this with your authenticator app, then enter the code it shows.",
        picture: "QR code for your authenticator app",
        typed: "Cannot scan? Type this into the app:",
        copy: "Copy",
        copied: "Copied",
        code: "Code",
        code_hint: "Six digits, a new code every 30 seconds.",
        enable: "Turn on",
        enabling: "Checking…",
        wrong_code: "The code is wrong or too old. Take the next one. If none works, the clock of your phone is off.",
        still: "What you have scanned still counts.",
        again: "Start again with a new one",
        gone: "Nothing is set up any more. Start again.",
        off_title: "Turn off your second factor?",
        off_about: "Signing in takes your password alone from then on. Your recovery codes are gone, and your other sessions \
                    end.",
        off_required: "Your role requires a second factor: you will set up another one before you go on.",
        off_action: "Turn off",
        off_busy: "Turning off…",
    }
}

texts! {
    /// Recovery codes.
    Codes {
        ask_title: "Make new recovery codes",
        ask_about: "Those you have now are good no longer. Enter a code to go on.",
        ask_action: "Make new codes",
        ask_busy: "Making…",
        title: "Your recovery codes",
        about: "Each works once, in place of a code from your app. Store them where your phone is not.",
        first: "They are shown only now. Your second factor is on.",
        renewed: "They are shown only now. The old ones no longer work.",
        copy: "Copy all",
        copied: "Copied",
        stored: "I have stored them",
    }
}

texts! {
    /// Ending a session.
    EndSession {
        title: "End {}?",
        lead: "Signed in from {} on ",
        lead_nowhere: "Signed in on ",
        what: "It ends at once, with all that runs in it.",
        this_one: "It is the session you are in: you will be signed out.",
        action: "End session",
        busy: "Ending…",
        others_title: "End all other sessions?",
        others_what: "They end at once, with all that runs in them; this one goes on. Your keys stay as they are.",
        others_action: "End all other sessions",
        others_busy: "Ending, on every server…",
    }
}

texts! {
    /// Changing one's password.
    Password {
        title: "Change password",
        about: "Every session ends, this one too: sign in again with the new one. Your keys keep working.",
        current: "Current password",
        new: "New password",
        new_hint: "At least {} characters. A few words are better than a few signs.",
        wrong: "This is not your password.",
        same: "This is the password you have. Choose another one.",
        action: "Change password",
        busy: "Changing…",
    }
}
