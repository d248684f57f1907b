package onefact.bench;

/** A command that cannot be granted. */
final class Refused extends Exception {
    final String code;

    Refused(String code, String reason) {
        super(reason, null, false, false);
        this.code = code;
    }
}
