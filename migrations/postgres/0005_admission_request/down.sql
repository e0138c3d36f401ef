DROP TYPE admission_request;
